// Builds the prebuilt Lab extension into labextension/: the TypeScript becomes one module, whose
// imports of Lab's own packages the running Lab fulfils. Types are checked by `npm run lint`.
import { spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

const HERE = join(dirname(fileURLToPath(import.meta.url)), '..');
const require = createRequire(import.meta.url);

await esbuild.build({
  entryPoints: [join(HERE, 'src', 'lab', 'index.ts')],
  outfile: join(HERE, 'build', 'lab', 'index.js'),
  bundle: true,
  packages: 'external',
  format: 'esm',
  target: 'es2022',
  loader: { '.css': 'text', '.ipynb': 'json' },
  logLevel: 'warning'
});

const builder = require.resolve('@jupyter/builder/lib/build-labextension.js');
const core = require.resolve('@jupyterlab/core-meta/core.package.json');
const built = spawnSync(
  process.execPath,
  [builder, '--core-package-file', core, ...process.argv.slice(2), HERE],
  { encoding: 'utf8' }
);
if (built.status !== 0) {
  process.stderr.write(built.stdout + built.stderr);
  process.exit(1);
}
copyFileSync(join(HERE, 'install.json'), join(HERE, 'labextension', 'install.json'));
