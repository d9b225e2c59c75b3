#!/usr/bin/env node
// This process is the PMD, and shows the cluster on a page that follows it: who is there is sent
// when the page is opened, then each join and leave as a server-sent event.
//
//     node pmd-status/server.js [PMD-PORT [HTTP-PORT]]   (0 picks a free port)
'use strict';

const { createServer } = require('node:http');
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { PMD } = require('@distflow/native/pmd');

/** A page that reads slower than this is closed; it opens its events again by itself. */
const UNREAD_BYTES_MAX = 1 << 20;

const page = readFileSync(join(__dirname, 'index.html'));
/** Who is registered, by node id; kept by the events, so that it never differs from them. */
const nodes = new Map();
/** The open pages. */
const pages = new Set();

function tell(page, event, data) {
  if (page.writableLength > UNREAD_BYTES_MAX) {
    page.destroy();
    return;
  }
  // JSON has no line breaks, so it is one field.
  page.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}

function tellAll(event, data) {
  for (const page of pages) tell(page, event, data);
}

function answer(request, response) {
  const { pathname } = new URL(request.url, 'http://localhost');
  if (request.method !== 'GET') {
    response.writeHead(405).end();
  } else if (pathname === '/') {
    response.writeHead(200, {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy':
        "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'",
    });
    response.end(page);
  } else if (pathname === '/nodes') {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify([...nodes.values()]));
  } else if (pathname === '/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    pages.add(response);
    response.on('close', () => pages.delete(response));
    tell(response, 'nodes', [...nodes.values()]);
  } else {
    response.writeHead(404).end();
  }
}

async function serve(pmdPort, httpPort) {
  const pmd = new PMD({ port: pmdPort });
  pmd.on('peer:join', (node) => {
    nodes.set(node.nodeId, node);
    tellAll('join', node);
  });
  pmd.on('peer:leave', (node, reason) => {
    nodes.delete(node.nodeId);
    tellAll('leave', { ...node, reason });
  });
  await pmd.start();
  const server = createServer(answer);
  const stop = async () => {
    server.close();
    server.closeAllConnections();
    await pmd.stop();
  };
  // A client may ask the PMD to end; then there is nothing to show any more.
  pmd.once('stopped', stop);
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  server.on('error', (error) => {
    console.error(error.message);
    process.exitCode = 1;
    void stop();
  });
  server.listen(httpPort, '127.0.0.1', () => {
    const { port } = server.address();
    console.log(`PMD on port ${pmd.port}, page at http://127.0.0.1:${port}/`);
  });
}

const isPort = (text) => /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535;
const [pmdPort = '4369', httpPort = '8080', ...more] = process.argv.slice(2);
if (more.length > 0 || !isPort(pmdPort) || !isPort(httpPort)) {
  console.error('usage: server.js [PMD-PORT [HTTP-PORT]]');
  process.exitCode = 2;
} else {
  serve(Number(pmdPort), Number(httpPort)).catch((error) => {
    console.error(`${error.message} (${error.code})`);
    process.exitCode = 1;
  });
}
