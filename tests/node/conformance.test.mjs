// Scenarios of tests/conformance, carried out in every language and across them.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { Process, compileC, link, packageFolder, project, python } from './processes.mjs';

const folder = join(project, 'tests/conformance');
const scenarios = readdirSync(folder)
  .filter((name) => name.endsWith('.json'))
  .map((name) => ({ name, ...JSON.parse(readFileSync(join(folder, name), 'utf8')) }));

link(folder);

/** How to run each language's runner, and what it shows to have. */
const languages = {
  c: (t) => [compileC(t, join(folder, 'runner.c'), '-D_GNU_SOURCE', '-pthread', '-Wall', '-Wextra', '-Werror')],
  node: () => [process.execPath, join(folder, 'runner.mjs')],
  python: () => [python(), join(folder, 'runner.py')],
  'python-asyncio': () => [python(), join(folder, 'runner.py'), '--asyncio'],
};
const has = new Map();
const used = new Map(Object.keys(languages).map((language) => [language, new Set()]));

const special = {
  $text: (length) => 'x'.repeat(length),
  $nested: (depth) => JSON.parse('['.repeat(depth) + ']'.repeat(depth)),
};

/** A value of a scenario with what stands for something else put in. */
function filled(value, saved) {
  if (typeof value === 'string' && /^\$\w+(\.\w+)+$/.test(value)) {
    const [name, ...members] = value.slice(1).split('.');
    const found = members.reduce((found, member) => found?.[member], saved.get(name));
    assert.notEqual(found, undefined, `there is no ${value}`);
    return found;
  }
  if (Array.isArray(value)) return value.map((item) => filled(item, saved));
  if (typeof value !== 'object' || value === null) return value;
  const [only, ...more] = Object.keys(value);
  if (more.length === 0 && special[only]) return special[only](value[only]);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, filled(item, saved)]));
}

function matches(found, expected, place = 'result') {
  if (expected === '*') return assert.notEqual(found, undefined, `${place} is missing`);
  if (expected?.$not !== undefined) return assert.notDeepEqual(found, expected.$not, place);
  if (Array.isArray(expected)) {
    assert.ok(Array.isArray(found), `${place} is ${JSON.stringify(found)}`);
    const count = `${place} has ${found.length}: ${JSON.stringify(found).slice(0, 500)}`;
    assert.equal(found.length, expected.length, count);
    expected.forEach((item, at) => matches(found[at], item, `${place}[${at}]`));
  } else if (typeof expected === 'object' && expected !== null) {
    const isObject = typeof found === 'object' && found !== null && !Array.isArray(found);
    assert.ok(isObject, `${place} is ${JSON.stringify(found)}`);
    for (const [key, item] of Object.entries(expected)) matches(found[key], item, `${place}.${key}`);
    if (Object.keys(expected).length === 0) assert.deepEqual(found, expected, place);
  } else {
    assert.deepEqual(found, expected, place);
  }
}

function field(name, value) {
  const isNan = Object.keys(value ?? {})[0] === '$nan';
  return `${name}=${isNan ? 'NaN' : JSON.stringify(value)}`;
}

/** Carries out steps; `languageOf` says where an object is. */
async function carryOut(steps, { languageOf, runners, saved }) {
  for (const step of steps) {
    if (step.if) {
      const given = { languageOf, runners, saved };
      if (step.is.includes(languageOf(step.if))) await carryOut(step.steps, given);
      continue;
    }
    const language = languageOf(step.on);
    if (step.only && !step.only.includes(language)) continue;
    const place = `${language}: ${JSON.stringify(step)}`.slice(0, 400);
    assert.ok(has.get(language).has(step.call), `no such call: ${place}`);
    used.get(language).add(step.call);
    const given = Object.entries(filled(step.with ?? {}, saved));
    const line = [step.call, step.on, ...given.map(([name, value]) => field(name, value))];
    runners.get(language).write(`${line.join('\t')}\n`);
    const [answer, first, text] = (await runners.get(language).line()).split('\t');
    try {
      if (step.fails) {
        assert.equal(answer, 'fail', `it succeeded: ${first}`);
        const code = typeof step.fails === 'string' ? step.fails : step.fails[language] ?? step.fails.others;
        assert.equal(first, code, text);
        assert.ok(text.length > 0, 'the error has no text');
      } else {
        assert.equal(answer, 'ok', `${first}: ${text}`);
        const result = JSON.parse(first);
        if (step.sort) result.sort((a, b) => (a[step.sort] < b[step.sort] ? -1 : 1));
        if ('gives' in step) {
          const gives = filled(step.gives, saved);
          if (step.sort) gives.sort((a, b) => (a[step.sort] < b[step.sort] ? -1 : 1));
          matches(result, gives);
        }
        if (step.as) saved.set(step.as, result);
      }
    } catch (error) {
      error.message = `${place}\n${error.message}`;
      throw error;
    }
  }
}

/** Objects in the order in which a scenario makes them. */
function objectsOf(steps) {
  return [...new Set(steps.flatMap((step) => (step.if ? objectsOf(step.steps) : [step.on])))];
}

/** Runs every scenario with these languages, the objects dealt out to them in turn. */
async function run(t, names, rotation = 0) {
  const commands = new Map(names.map((name) => [name, languages[name](t)]));
  for (const scenario of scenarios) {
    await t.test(`${scenario.name} ${rotation || ''}`, async (t) => {
      const runners = new Map();
      for (const name of names) {
        const [command, ...args] = commands.get(name);
        const runner = Process.run(t, command, args);
        runners.set(name, runner);
        has.set(name, new Set((await runner.after('ready\t')).split('\t')));
      }
      const objects = objectsOf(scenario.steps);
      const languageOf = (object) => names[(objects.indexOf(object) + rotation) % names.length];
      await carryOut(scenario.steps, { languageOf, runners, saved: new Map() });
      for (const runner of runners.values()) {
        runner.closeInput();
        assert.equal(await runner.end(), 0, runner.errors);
        assert.equal(runner.errors, '');
      }
    });
  }
}

for (const language of Object.keys(languages)) {
  test(`conformance: ${language}`, { timeout: 240_000 }, (t) => run(t, [language]));
}

test('conformance: across languages', { timeout: 240_000 }, async (t) => {
  const names = Object.keys(languages);
  for (let rotation = 0; rotation < names.length; rotation++) await run(t, names, rotation);
});

test('every call of a runner is in a scenario', () => {
  for (const [language, calls] of has) {
    const missing = [...calls].filter((call) => !used.get(language).has(call));
    assert.deepEqual(missing, [], language);
  }
});

/** Public items by language: their names, and the text of the runner that has to use them. */
const surface = {
  c: () => {
    const header = readFileSync(join(project, 'include/distflow.h'), 'utf8');
    const names = [...header.matchAll(/\b(distflow_\w+)\(/g)].map(([, name]) => name);
    // What of documents is in no scenario is in tests/c/document.c; sessions are in tests/c/session.c
    // and, across languages, in sessions.test.mjs.
    return names.filter((name) => !/^distflow_(doc|session)_/.test(name));
  },
  node: () =>
    ['node-runtime', 'pmd', 'pmd-client'].flatMap((file) => {
      const types = readFileSync(join(packageFolder, `dist/${file}.d.ts`), 'utf8');
      return [...types.matchAll(/^ {4}(?:static |get )?(\w+)(?:<[^(]*>)?\(/gm)].map(([, name]) => name);
    }),
  python: () =>
    ['_base', 'node', 'aio', 'pmd'].flatMap((file) => {
      const text = readFileSync(join(project, `bindings-python/python/distflow/${file}.py`), 'utf8');
      return [...text.matchAll(/^ {4}(?:async )?def ([a-z]\w*)\(/gm)].map(([, name]) => name);
    }),
};

/** What is not of a node, a PMD or a client, or is of one language alone; its tests are there. */
const elsewhere = {
  c: ['distflow_version', 'distflow_log_set'],
  node: [
    ...['constructor', 'ref', 'unref', 'addListener', 'once', 'prependListener', 'off'],
    ...['prependOnceListener', 'removeListener', 'removeAllListeners'],
    // The original PMD's; other languages have the event of each node.
    'getRegistry',
  ],
  python: [],
};

test('every public item of nodes, PMDs and clients is in a runner', () => {
  const files = {
    c: ['runner.c', 'runner_answers.h', 'runner_documents.h'],
    node: ['runner.mjs'],
    python: ['runner.py'],
  };
  for (const [language, list] of Object.entries(surface)) {
    const names = new Set(list());
    assert.ok(names.size > 15, `${language}: only ${names.size} items were found`);
    const texts = files[language].map((name) => readFileSync(join(folder, name), 'utf8'));
    const text = texts.join('\n');
    const missing = [...names].filter(
      (name) => !new RegExp(`\\b${name}\\b`).test(text) && !elsewhere[language].includes(name),
    );
    assert.deepEqual(missing, [], `${language}: add a call to tests/conformance/${files[language][0]}`);
  }
});
