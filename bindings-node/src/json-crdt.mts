// The same module as the CommonJS one, for ESM.
export * from './json-crdt.js';
