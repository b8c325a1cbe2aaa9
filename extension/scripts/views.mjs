// Bundles every file right in src/views/ (what they share is in folders there) into one ES module
// each, next to the Python code that shows it.
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

const HERE = join(dirname(fileURLToPath(import.meta.url)), '..');
const SOURCE = join(HERE, 'src', 'views');
const TARGET = join(HERE, '..', 'kernel', 'branchpoint', 'views', 'static');

const entries = (existsSync(SOURCE) ? readdirSync(SOURCE) : [])
  .filter(name => name.endsWith('.ts'))
  .map(name => join(SOURCE, name));

mkdirSync(TARGET, { recursive: true });
const options = {
  entryPoints: entries,
  outdir: TARGET,
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  legalComments: 'eof',
  loader: { '.css': 'text', '.svg': 'text' },
  logLevel: 'warning'
};
if (process.argv.includes('--watch')) {
  await (await esbuild.context({ ...options, minify: false, sourcemap: 'inline' })).watch();
} else {
  await esbuild.build(options);
}
