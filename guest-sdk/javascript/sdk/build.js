// Builds a plugin: `node build.js NAME.js`, or NAME.ts, writes build/NAME.wasm.

import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const sdk = dirname(fileURLToPath(import.meta.url));
const source = resolve(process.argv[2]);
const name = basename(source, extname(source));
const require = createRequire(source); // the project's node_modules, wherever the SDK is

try {
  await mkdir('build', { recursive: true });
  if (extname(source) === '.ts') {
    await Promise.all([checkTypes(), bundle()]);
    await componentize(resolve('build', `${name}.js`), resolve('build'));
  } else {
    await componentize(source, dirname(sdk));
  }
} catch (error) {
  console.error(error.stdout || error.message);
  process.exitCode = 1;
}

async function componentize(jsPath, moduleRoot) {
  const { component } = await require('componentize-qjs').componentize({
    jsSource: await readFile(jsPath, 'utf8'),
    jsPath,
    moduleRoot, // imports come from here
    witPath: join(sdk, 'wit'),
    world: 'projection',
    sync: true, // Lantern takes no asynchronous components
  });
  await writeFile(join('build', `${name}.wasm`), component);
}

/** Into one file that stays there: stack traces point into it. */
async function bundle() {
  const outfile = join('build', `${name}.js`);
  await require('esbuild').build({ entryPoints: [source], outfile, bundle: true, format: 'esm', external: ['lantern:*'] });
}

async function checkTypes() {
  const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin/tsc');
  await promisify(execFile)(process.execPath, [tsc, '--noEmit', '--pretty', 'false']);
}
