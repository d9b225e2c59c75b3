#!/usr/bin/env node
// The program of the original PMD package, `cli.js --port N`, for who starts it by its path.
process.argv.splice(2, 0, 'pmd', 'start');
require('../bin/distflow.js');
