// The same module as the CommonJS one, for ESM.
import './place.mjs';

export * from './transport.js';
