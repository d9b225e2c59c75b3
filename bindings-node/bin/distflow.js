#!/usr/bin/env node
// The distflow command line: runs the executable that the package carries, or, where it has none,
// the same command line inside Node.
'use strict';

const { spawn } = require('node:child_process');
const { executable } = require('../dist/launcher.js');
const { native } = require('../dist/native.js');

const args = process.argv.slice(2);
const program = executable();

if (program) {
  // What is meant for the command reaches it; this process ends when it has. The handlers come
  // first: the command may be up, and a signal on its way, before the next line here runs.
  let child;
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'];
  const handlers = signals.map((signal) => [signal, () => child.kill(signal)]);
  for (const [signal, handler] of handlers) process.on(signal, handler);
  child = spawn(program, args, { stdio: 'inherit' });
  child.on('error', (error) => {
    console.error(`cannot run ${program}: ${error.message}`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
    if (signal) process.kill(process.pid, signal);
    else process.exit(code);
  });
} else {
  // A daemon to be launched is this script again.
  process.exit(native().runCli(['distflow', ...args], [process.execPath, __filename]));
}
