// The same module as the CommonJS one, for ESM.
export * from './logger.js';
