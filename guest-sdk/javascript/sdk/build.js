// Builds a plugin: `node build.js NAME.js`, or NAME.ts, writes build/NAME.wasm.
// `--world conflict-resolver` behind them says that it is no projection.
// With `--dev` behind them: build/NAME.dev.js, a bundle, and build/NAME.dev.wasm, which reads it from standard input.

import { execFile } from 'node:child_process';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const sdk = dirname(fileURLToPath(import.meta.url));
const source = resolve(process.argv[2]);
const name = basename(source, extname(source));
const [option, world] = process.argv.slice(3);
const isTypeScript = extname(source) === '.ts';
const require = createRequire(source); // the project's node_modules, wherever the SDK is

try {
  await mkdir('build', { recursive: true });
  if (option === '--dev') {
    await Promise.all([isTypeScript && checkTypes(), bundle('dev.js', 'cjs'), devPlugin()]);
  } else if (isTypeScript) {
    await Promise.all([checkTypes(), bundle('js', 'esm')]);
    await componentize(resolve('build', `${name}.js`), resolve('build'), `${name}.wasm`);
  } else {
    await componentize(source, dirname(sdk), `${name}.wasm`);
  }
} catch (error) {
  if (!error.errors) console.error(error.stdout || error.message); // esbuild has printed its errors
  process.exitCode = 1;
}

async function componentize(jsPath, moduleRoot, output, wit = { witPath: join(sdk, 'wit'), world: option === '--world' ? world : 'projection' }) {
  const { component } = await require('componentize-qjs').componentize({
    jsSource: await readFile(jsPath, 'utf8'),
    jsPath,
    moduleRoot, // imports come from here
    ...wit,
    sync: true, // Lantern takes no asynchronous components
  });
  await writeFile(join('build', output), component);
}

/** Made once for a project: whatever is written here stays the same. */
async function devPlugin() {
  const made = () => copyFile('build/dev.wasm', join('build', `${name}.dev.wasm`));
  await made().catch(async () => {
    await componentize(join(sdk, 'dev/dev.js'), sdk, 'dev.wasm', { witPath: join(sdk, 'dev'), world: 'dev' });
    await made();
  });
}

/** Into one file that stays there: stack traces point into it. */
async function bundle(extension, format) {
  const outfile = join('build', `${name}.${extension}`);
  await require('esbuild').build({ entryPoints: [source], outfile, bundle: true, format, external: ['lantern:*'] });
}

async function checkTypes() {
  const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin/tsc');
  await promisify(execFile)(process.execPath, [tsc, '--noEmit', '--pretty', 'false']);
}
