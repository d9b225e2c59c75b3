// LoroMap of LoroMaps: each set is committed, and its update exported.

import { LoroDoc, LoroMap } from 'loro-crdt';

function fill(map, value) {
  for (const [key, member] of Object.entries(value)) {
    if (typeof member !== 'object' || member === null) map.set(key, member);
    else fill(map.setContainer(key, new LoroMap()), member);
  }
}

let initialState;
export function make(name, initial) {
  const doc = new LoroDoc();
  if (name === 'A') {
    fill(doc.getMap('root'), initial);
    doc.commit();
    initialState = doc.export({ mode: 'snapshot' });
  } else {
    doc.import(initialState);
  }
  return doc;
}
const parent = (doc, path) =>
  path.slice(0, -1).reduce((map, key) => map.get(key), doc.getMap('root'));
export function set(doc, path, value) {
  const from = doc.version();
  parent(doc, path).set(path.at(-1), value);
  doc.commit();
  return doc.export({ mode: 'update', from });
}
export const receive = (doc, update) => void doc.import(update);
export const get = (doc, path) => parent(doc, path).get(path.at(-1));
export const value = (doc) => doc.getMap('root').toJSON();
export const snapshot = (doc) => doc.export({ mode: 'snapshot' });
export const version = (doc) => doc.version();
export const since = (doc, from) => doc.export({ mode: 'update', from });
export const receiveBatch = receive;
export function restore(name, bytes) {
  const doc = new LoroDoc();
  doc.import(bytes);
  return doc;
}
