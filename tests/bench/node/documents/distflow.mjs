// A document of @distflow/native: operations as the text that travels.

import { createRequire } from 'node:module';

const { JSONCrdt } = createRequire(import.meta.url)(process.env.DISTFLOW_PACKAGE);

// As it is shipped; where operations are asked for as one delta, the log is to have them.
export const make = (name, initial, { history = 1_000 } = {}) =>
  new JSONCrdt(name, initial, { maxLogSize: history });
export const set = (doc, path, value) => JSONCrdt.encodeOp(doc.set(path, value));
export const receive = (doc, update) => void doc.receive(update);
export const get = (doc, path) => doc.get(path);
export const value = (doc) => doc.value();
export const snapshot = (doc) => doc.encodeSnapshot();
export const version = (doc) => doc.clock();
export const since = (doc, version) => doc.encodeSince(version);
export const receiveBatch = (doc, bytes) => void doc.receiveBatch(bytes);
export const restore = (name, bytes) => {
  const doc = new JSONCrdt(name);
  doc.restore(bytes);
  return doc;
};
