// The same by the call that gives only the text, without an object of the operation.

export * from './distflow.mjs';

export const set = (doc, path, value) => doc.setEncoded(path, value);
