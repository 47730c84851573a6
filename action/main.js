// Installs a release of shipper by its checksum. No dependencies.
//
// Invariants: nothing is run or unpacked before it has the right checksum; inputs are checked before they get into a URL or a
// path; nothing is fetched over a connection that is not encrypted, but for this machine's own.
'use strict';

const { execFileSync } = require('node:child_process');
const { createHash, randomUUID } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

/** Largest archive, in bytes, and how long a request may take, in milliseconds. */
const MOST = 256 * 1024 * 1024;
const PATIENCE = 120_000;

/** What builders of later steps need for GitHub's cache; only actions are given it. */
const CACHE = ['ACTIONS_RUNTIME_TOKEN', 'ACTIONS_RESULTS_URL', 'ACTIONS_CACHE_URL', 'ACTIONS_CACHE_SERVICE_V2'];

/** Targets by what Node.js calls the machine. */
const TARGETS = {
  'linux-x64': 'x86_64-unknown-linux-musl',
  'linux-arm64': 'aarch64-unknown-linux-musl',
  'darwin-x64': 'x86_64-apple-darwin',
  'darwin-arm64': 'aarch64-apple-darwin',
};

const input = (env, name) => (env[`INPUT_${name.toUpperCase()}`] ?? '').trim();

function checked(env, machine) {
  const version = input(env, 'version').replace(/^v/, '');
  if (!/^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$/.test(version)) throw new Error(`version: '${version}' is no version, such as 0.1.0`);
  const checksum = input(env, 'checksum').toLowerCase();
  if (checksum !== '' && !/^[0-9a-f]{64}$/.test(checksum)) throw new Error('checksum: it is not 64 hexadecimal digits');
  const target = TARGETS[machine];
  if (!target) throw new Error(`there is no release for ${machine}; install shipper by cargo`);
  const base = new URL(input(env, 'base-url').replace(/\/*$/, '/'));
  return { version, checksum, target, base };
}

function isSafe(url) {
  return url.protocol === 'https:' || (url.protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname));
}

/** The bytes behind a URL. */
async function fetched(url) {
  if (!isSafe(url)) throw new Error(`${url.origin} is not https`);
  const answer = await fetch(url, { signal: AbortSignal.timeout(PATIENCE) });
  if (!isSafe(new URL(answer.url))) throw new Error(`${url} leads to ${new URL(answer.url).origin}, which is not https`);
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  const parts = [];
  let length = 0;
  for await (const part of answer.body) {
    length += part.length;
    if (length > MOST) throw new Error(`${url} is longer than ${MOST} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/** The checksum that a list in the format of sha256sum has for a file. */
function listed(sums, name) {
  const found = sums.split('\n').map((line) => /^([0-9a-f]{64}) [ *](.+)$/.exec(line.trim())).filter((row) => row && row[2] === name);
  if (found.length !== 1) throw new Error(`SHA256SUMS does not name ${name} once`);
  return found[0][1];
}

/** Adds a variable, an output or a directory to a file of the runner. */
function tell(file, name, value) {
  if (!file) return;
  const fence = `shipper-${randomUUID()}`;
  fs.appendFileSync(file, name === null ? `${value}\n` : `${name}<<${fence}\n${value}\n${fence}\n`);
}

async function main(env, machine) {
  const { version, checksum, target, base } = checked(env, machine);
  const name = `shipper-${version}-${target}`;
  const archive = `${name}.tar.gz`;
  const at = (file) => new URL(`v${version}/${file}`, base);
  const bytes = await fetched(at(archive));
  const wanted = checksum || listed((await fetched(at('SHA256SUMS'))).toString('utf8'), archive);
  const found = createHash('sha256').update(bytes).digest('hex');
  if (found !== wanted) throw new Error(`${archive} has the checksum ${found}, and should have ${wanted}`);
  const temp = env.RUNNER_TEMP || fs.mkdtempSync(path.join(require('node:os').tmpdir(), 'shipper-'));
  const directory = fs.mkdtempSync(path.join(temp, 'shipper-'));
  const file = path.join(directory, archive);
  fs.writeFileSync(file, bytes);
  execFileSync('tar', ['-xzf', file, '-C', directory, '--strip-components=1', `${name}/shipper`], { stdio: 'inherit' });
  fs.rmSync(file);
  fs.chmodSync(path.join(directory, 'shipper'), 0o755);
  tell(env.GITHUB_PATH, null, directory);
  tell(env.GITHUB_OUTPUT, 'path', directory);
  if (input(env, 'cache') !== 'false') {
    for (const variable of CACHE.filter((one) => env[one])) tell(env.GITHUB_ENV, variable, env[variable]);
  }
  return directory;
}

module.exports = { checked, listed, isSafe, main };

if (require.main === module) {
  main(process.env, `${process.platform}-${process.arch}`).catch((error) => {
    const text = String(error.message).replace(/%/g, '%25').replace(/\r/g, '%0D').replace(/\n/g, '%0A');
    console.log(`::error title=shipper::${text}`);
    process.exitCode = 1;
  });
}
