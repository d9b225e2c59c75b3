// Y.Map of Y.Maps: each set is a transaction, whose update message is what travels.

import * as Y from 'yjs';

const updates = new WeakMap();

function wrap(value) {
  if (typeof value !== 'object' || value === null) return value;
  const map = new Y.Map();
  for (const [key, member] of Object.entries(value)) map.set(key, wrap(member));
  return map;
}

function follow(doc) {
  doc.on('update', (update) => updates.set(doc, update));
  return doc;
}

// Replicas begin with the same state, which one of them has made.
let initialState;
export function make(name, initial) {
  const doc = follow(new Y.Doc());
  if (name === 'A') {
    doc.transact(() => {
      for (const [key, member] of Object.entries(initial)) doc.getMap('root').set(key, wrap(member));
    });
    initialState = Y.encodeStateAsUpdate(doc);
  } else {
    Y.applyUpdate(doc, initialState);
  }
  return doc;
}
const parent = (doc, path) =>
  path.slice(0, -1).reduce((map, key) => map.get(key), doc.getMap('root'));
export function set(doc, path, value) {
  parent(doc, path).set(path.at(-1), value);
  return updates.get(doc);
}
export const receive = (doc, update) => Y.applyUpdate(doc, update);
export const get = (doc, path) => parent(doc, path).get(path.at(-1));
export const value = (doc) => doc.getMap('root').toJSON();
export const snapshot = (doc) => Y.encodeStateAsUpdate(doc);
export const version = (doc) => Y.encodeStateVector(doc);
export const since = (doc, version) => Y.encodeStateAsUpdate(doc, version);
export const receiveBatch = (doc, bytes) => Y.applyUpdate(doc, bytes);
export function restore(name, bytes) {
  const doc = new Y.Doc();
  Y.applyUpdate(doc, bytes);
  return doc;
}
