// Copies the third-party files that the screens use from node_modules to ../static/vendor, each under a name with its content hash, with every
// licence beside it, and writes manifest.json: name -> file, integrity, package, version, licence, bytes. No bundler: both come minified, and own
// modules are served as they are written (Chromium 90 and later).
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, '..', 'static', 'vendor');

const wanted = {
  'htmx.js': ['htmx.org', 'dist/htmx.min.js'],
  'uplot.js': ['uplot', 'dist/uPlot.iife.min.js'],
  'uplot.css': ['uplot', 'dist/uPlot.min.css'],
};

const hash = (algorithm, content, encoding) => createHash(algorithm).update(content).digest(encoding);
const packageOf = (name) => JSON.parse(readFileSync(join(here, 'node_modules', name, 'package.json'), 'utf8'));

rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });

const files = {};
for (const [name, [module, source]] of Object.entries(wanted)) {
  // A source map is not shipped, so the reference to it must not be either: it would be a 404 in every developer tool.
  const content = Buffer.from(readFileSync(join(here, 'node_modules', module, source), 'utf8').replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n'));
  const extension = extname(name);
  const file = `${name.slice(0, -extension.length)}.${hash('sha256', content, 'hex').slice(0, 12)}${extension}`;
  writeFileSync(join(target, file), content);
  const { version, license } = packageOf(module);
  files[name] = { file, integrity: `sha384-${hash('sha384', content, 'base64')}`, package: module, version, license, bytes: content.length };
}
for (const module of new Set(Object.values(wanted).map(([name]) => name))) {
  writeFileSync(join(target, `LICENSE.${module}.txt`), readFileSync(join(here, 'node_modules', module, 'LICENSE')));
}
// The manifest comes last: while it is missing the pages say that the files have not been built.
writeFileSync(join(target, 'manifest.json'), `${JSON.stringify({ files }, null, 2)}\n`);
console.log(Object.values(files).map((entry) => `${entry.file}  ${entry.package} ${entry.version}  ${entry.bytes} bytes`).join('\n'));
