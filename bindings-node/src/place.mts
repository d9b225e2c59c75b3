// Where an ES module is whose CommonJS parts have been bundled into it: those have no `__dirname` then.
// The entries for ESM import this before anything else.
const holder = globalThis as { [place: symbol]: string | undefined };
holder[Symbol.for('@distflow/native:place')] = import.meta.url;
export {};
