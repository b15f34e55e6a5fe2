// Runs PHP code from standard input in a PHP of a version, compiled to WebAssembly: node run.mjs 7.4 FILES.json
// FILES.json maps the paths of files to their contents; PHP_WASM is the folder with node_modules.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const installed = (name) => import(pathToFileURL(createRequire(process.env.PHP_WASM + '/').resolve(name)).href);
const { PHP } = await installed('@php-wasm/universal');
const { loadNodeRuntime } = await installed('@php-wasm/node');
const code = readFileSync(0, 'utf8');
const php = new PHP(await loadNodeRuntime(process.argv[2], { emscriptenOptions: { processId: 1 } }));
const files = JSON.parse(readFileSync(process.argv[3], 'utf8'));
for (const [path, text] of Object.entries(files)) {
  const full = '/' + path;
  php.mkdir(full.slice(0, full.lastIndexOf('/')));
  php.writeFile(full, text);
}
const r = await php.run({ code });
process.stdout.write(r.text);
process.stderr.write(r.errors);
process.exit(r.exitCode);
