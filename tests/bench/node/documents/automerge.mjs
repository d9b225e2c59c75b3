// Automerge: each set is a change, whose bytes travel.

import * as A from '@automerge/automerge';

let initialState;
export function make(name, initial) {
  if (name !== 'A') return { doc: A.load(initialState) };
  const doc = A.from(initial);
  initialState = A.save(doc);
  return { doc };
}
const parent = (doc, path) => path.slice(0, -1).reduce((map, key) => map[key], doc);
export function set(holder, path, value) {
  holder.doc = A.change(holder.doc, (doc) => {
    parent(doc, path)[path.at(-1)] = value;
  });
  return A.getLastLocalChange(holder.doc);
}
export function receive(holder, update) {
  [holder.doc] = A.applyChanges(holder.doc, [update]);
}
export const get = (holder, path) => parent(holder.doc, path)[path.at(-1)];
export const value = (holder) => A.toJS(holder.doc);
export const snapshot = (holder) => A.save(holder.doc);
export const version = (holder) => A.getHeads(holder.doc);
export const since = (holder, heads) => A.saveSince(holder.doc, heads);
export function receiveBatch(holder, bytes) {
  holder.doc = A.loadIncremental(holder.doc, bytes);
}
export const restore = (name, bytes) => ({ doc: A.load(bytes) });

/** So slow on large documents that it makes fewer. */
export const share = (keys) => Math.max(0.005, Math.min(0.05, 50 / keys));
