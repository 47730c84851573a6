// Run by `node --test`; tests/it/action.rs does it.
'use strict';

const assert = require('node:assert');
const { execFileSync } = require('node:child_process');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const { after, before, test } = require('node:test');

const { checked, isSafe, listed, main } = require('./main.js');

const MACHINE = 'linux-x64';
const NAME = 'shipper-1.2.3-x86_64-unknown-linux-musl';
let server, base, archive, temp;
let files = {};

before(async () => {
  temp = fs.mkdtempSync(path.join(os.tmpdir(), 'action-'));
  fs.mkdirSync(path.join(temp, NAME));
  fs.writeFileSync(path.join(temp, NAME, 'shipper'), '#!/bin/sh\necho shipper 1.2.3\n');
  execFileSync('tar', ['-czf', path.join(temp, 'archive'), '-C', temp, NAME]);
  archive = fs.readFileSync(path.join(temp, 'archive'));
  server = http.createServer((request, response) => {
    const file = files[request.url];
    response.writeHead(file === undefined ? 404 : 200).end(file);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${server.address().port}/releases`;
});

after(() => {
  server.close();
  fs.rmSync(temp, { recursive: true });
});

const sum = (bytes) => createHash('sha256').update(bytes).digest('hex');

function environment(further) {
  const runner = fs.mkdtempSync(path.join(temp, 'runner-'));
  const file = (name) => path.join(runner, name);
  return {
    RUNNER_TEMP: runner,
    GITHUB_PATH: file('path'),
    GITHUB_OUTPUT: file('output'),
    GITHUB_ENV: file('env'),
    ACTIONS_RUNTIME_TOKEN: 'token\nPATH=/evil',
    'INPUT_VERSION': '1.2.3',
    'INPUT_BASE-URL': base,
    ...further,
  };
}

test('a release is installed by the checksum that is given, and by that of its list', async () => {
  files = { [`/releases/v1.2.3/${NAME}.tar.gz`]: archive, '/releases/v1.2.3/SHA256SUMS': `${sum(archive)}  ${NAME}.tar.gz\n` };
  for (const checksum of ['', sum(archive).toUpperCase()]) {
    const env = environment({ INPUT_CHECKSUM: checksum });
    const directory = await main(env, MACHINE);
    assert.strictEqual(execFileSync(path.join(directory, 'shipper')).toString(), 'shipper 1.2.3\n');
    assert.strictEqual(fs.readFileSync(env.GITHUB_PATH, 'utf8'), `${directory}\n`);
    // A value adds no other variable.
    const told = fs.readFileSync(env.GITHUB_ENV, 'utf8').split('\n');
    assert.match(told[0], /^ACTIONS_RUNTIME_TOKEN<<shipper-/);
    assert.deepStrictEqual(told.slice(1, 3), ['token', 'PATH=/evil']);
    assert.strictEqual(`ACTIONS_RUNTIME_TOKEN<<${told[3]}`, told[0]);
  }
  const env = environment({ INPUT_CACHE: 'false' });
  await main(env, MACHINE);
  assert.ok(!fs.existsSync(env.GITHUB_ENV));
});

test('what has another checksum is neither unpacked nor found', async () => {
  files = { [`/releases/v1.2.3/${NAME}.tar.gz`]: archive, '/releases/v1.2.3/SHA256SUMS': `${'0'.repeat(64)}  ${NAME}.tar.gz\n` };
  for (const [checksum, says] of [['', /should have 0{64}/], ['1'.repeat(64), /should have 1{64}/]]) {
    const env = environment({ INPUT_CHECKSUM: checksum });
    await assert.rejects(main(env, MACHINE), says);
    assert.ok(!fs.existsSync(env.GITHUB_PATH));
    assert.deepStrictEqual(fs.readdirSync(env.RUNNER_TEMP), []);
  }
  files = {};
  await assert.rejects(main(environment({}), MACHINE), /404/);
});

test('inputs that would be another URL or path are refused', () => {
  const refuse = (further, machine, says) => assert.throws(() => checked(environment(further), machine), says);
  for (const version of ['', '1', '../1.2.3', '1.2.3/../x', '1.2.3;id', '$(id)']) refuse({ INPUT_VERSION: version }, MACHINE, /is no version/);
  refuse({ INPUT_CHECKSUM: 'abc' }, MACHINE, /64 hexadecimal/);
  refuse({}, 'win32-x64', /no release for win32-x64/);
  assert.strictEqual(checked(environment({ INPUT_VERSION: 'v1.2.3-rc.1' }), 'darwin-arm64').target, 'aarch64-apple-darwin');
});

test('a list of checksums is read line by line, and only https is', () => {
  const [a, b] = ['a'.repeat(64), 'b'.repeat(64)];
  assert.strictEqual(listed(`${a}  x\n${b} *y\n`, 'y'), b);
  assert.throws(() => listed(`${a}  x\n${b}  x\n`, 'x'), /once/);
  assert.throws(() => listed(`${a}  xy\n`, 'x'), /once/);
  assert.ok(isSafe(new URL('https://github.com')) && isSafe(new URL('http://127.0.0.1:1')));
  assert.ok(!isSafe(new URL('http://github.com')) && !isSafe(new URL('file:///etc/passwd')));
});
