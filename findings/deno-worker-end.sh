#!/usr/bin/env bash
# What an addon hears when a worker is terminated. One would guess that the finalizers of its objects run, as in Node.js.
# In Deno only the clean-up hooks of the environment and the finalizer of its instance data do: those of wrapped
# objects and of threadsafe functions never run, and what they own stays open while the process lives.
# So an addon needs a clean-up hook that ends everything that was opened in its environment. distflow has one
# (`bindings-node/rust/environment.rs`); before, the node of a terminated worker never left.
set -eu
cd "$TMPDIR"
command -v cc >/dev/null && command -v npm >/dev/null && command -v node >/dev/null || { echo "cc, node or npm is missing"; exit 77; }
echo '{"private":true}' > package.json
npm install --silent --no-audit --no-fund deno@2.9.6 node-api-headers@1.9.0 >npm.log 2>&1 || { cat npm.log; echo "npm is out of reach"; exit 77; }

cat > addon.c <<'C'
#include <node_api.h>
#include <stdio.h>
static void say(const char *what) { fprintf(stderr, "%s\n", what); fflush(stderr); }
static void hook(void *data) { say("clean-up hook"); }
static void of_instance(napi_env env, void *data, void *hint) { say("finalizer of the instance data"); }
static void of_object(napi_env env, void *data, void *hint) { say("finalizer of an object"); }
static void of_function(napi_env env, void *data, void *hint) { say("finalizer of a threadsafe function"); }
static napi_value nothing(napi_env env, napi_callback_info info) { return NULL; }
NAPI_MODULE_INIT() {
  static int anything;
  napi_value object, name, function;
  napi_threadsafe_function threadsafe;
  napi_add_env_cleanup_hook(env, hook, &anything);
  napi_set_instance_data(env, &anything, of_instance, NULL);
  napi_create_object(env, &object);
  napi_wrap(env, object, &anything, of_object, NULL, NULL);
  napi_set_named_property(env, exports, "object", object);
  napi_create_string_utf8(env, "name", NAPI_AUTO_LENGTH, &name);
  napi_create_function(env, "nothing", NAPI_AUTO_LENGTH, nothing, NULL, &function);
  napi_create_threadsafe_function(env, function, NULL, name, 0, 1, NULL, of_function, NULL, NULL, &threadsafe);
  napi_unref_threadsafe_function(env, threadsafe);
  return exports;
}
C
cc -shared -fPIC -Inode_modules/node-api-headers/include addon.c -o addon.node

cat > worker.cjs <<'JS'
const { parentPort } = require('node:worker_threads');
globalThis.kept = require('./addon.node').object;
parentPort.postMessage('ready');
setInterval(() => {}, 1000);
JS
cat > main.cjs <<'JS'
const { Worker } = require('node:worker_threads');
const worker = new Worker(require('node:path').join(__dirname, 'worker.cjs'));
worker.once('message', async () => {
  await worker.terminate();
  setTimeout(() => { console.error('two seconds later'); process.exit(); }, 2000);
});
JS
node --version
timeout 60 node main.cjs 2>&1 | tee node.txt
node_modules/.bin/deno --version | head -1
timeout 60 node_modules/.bin/deno run -A main.cjs 2>&1 | tee deno.txt

expect() { [ "$(grep -c "$2" "$1")" = "$3" ] || { echo "changed: '$2' in $1 is not there $3 times"; exit 1; }; }
before() { sed '/two seconds later/q' "$1" > "$1.before"; }
before node.txt; before deno.txt
for what in 'clean-up hook' 'instance data' 'of an object' 'threadsafe function'; do expect node.txt.before "$what" 1; done
for what in 'clean-up hook' 'instance data'; do expect deno.txt.before "$what" 1; done
for what in 'of an object' 'threadsafe function'; do expect deno.txt.before "$what" 0; done
echo "as described"
