//! Fakes are put together from parts, so that scanners of hosting sites leave this file alone.

use super::super::redact;
use super::{found, told, worst};
use ctrlz_core::verdict::Risk;

/// 40 letters that look random.
const BODY: &str = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5bC7d";
const HEX: &str = "3f9a1c7be2d84605af13c9e87b20d64f";

fn finds(text: &str, name: &str) {
    let names: Vec<_> = told(text);
    assert!(names.contains(&(name, Risk::Medium)), "{text}: {names:?}");
    assert!(redact(text).contains(&format!("‹redacted: {name}›")), "{text}: {}", redact(text));
}

#[test]
fn tokens_are_told_by_their_shape() {
    let body36 = &BODY[..36];
    let cases: Vec<(String, &str)> = vec![
        (format!("{}{}", concat!("AK", "IA"), "Z7QK3M5P2R4T6V8X"), "aws-access-key"),
        (format!("{}{}", concat!("AS", "IA"), "Z7QK3M5P2R4T6V8X"), "aws-access-key"),
        (format!("{}{body36}", concat!("gh", "p_")), "github-token"),
        (format!("{}{body36}", concat!("gh", "o_")), "github-token"),
        (format!("{}{body36}", concat!("gh", "s_")), "github-token"),
        (format!("{}{}_{BODY}", concat!("github", "_pat_"), &BODY[..22]), "github-token"),
        (format!("{}{}", concat!("gl", "pat-"), &BODY[..20]), "gitlab-token"),
        (format!("{}{}", concat!("xo", "xb-"), "1234567890-abcdEFGH5678ijkl"), "slack-token"),
        (format!("{}{}", concat!("xo", "xp-"), "1234567890-abcdEFGH5678ijkl"), "slack-token"),
        (
            format!(
                "https://{}T0AB/B0CD/{}",
                concat!("hooks.sl", "ack.com/services/"),
                &BODY[..24]
            ),
            "webhook-url",
        ),
        (format!("{}{}", concat!("sk", "_live_"), &BODY[..24]), "stripe-key"),
        (format!("{}{}", concat!("rk", "_live_"), &BODY[..24]), "stripe-key"),
        (format!("{}{}", concat!("AI", "za"), &BODY[..35]), "google-api-key"),
        (format!("{}{body36}", concat!("np", "m_")), "npm-token"),
        (format!("{}{BODY}{BODY}", concat!("py", "pi-AgEI")), "pypi-token"),
        (format!("{}{BODY}", concat!("sk-", "ant-api03-")), "anthropic-key"),
        (format!("{}{BODY}", concat!("sk-", "proj-")), "openai-key"),
        (format!("{}{BODY}", concat!("s", "k-")), "openai-key"),
        (format!("{}{}", concat!("h", "f_"), &BODY[..34]), "hugging-face-token"),
        (format!("{}{}.{BODY}", concat!("S", "G."), &BODY[..22]), "sendgrid-key"),
        (format!("{}{HEX}", concat!("S", "K")), "twilio-key"),
        (format!("{}{HEX}{HEX}", concat!("dop", "_v1_")), "digitalocean-token"),
        (format!("{}{BODY}", concat!("hv", "s.")), "vault-token"),
        (format!("{}{HEX}", concat!("da", "pi")), "databricks-token"),
        (format!("{}{}", concat!("dckr", "_pat_"), &BODY[..27]), "docker-token"),
        (
            format!(
                "{}{}",
                concat!("AGE-SECRET", "-KEY-1"),
                "Q".to_owned() + &BODY.to_uppercase() + &BODY[..17].to_uppercase()
            ),
            "private-key",
        ),
        (format!("123456789{}{}", ":", &BODY[..35]), "telegram-token"),
        (
            format!("{}.{}.{BODY}", concat!("eyJhbGciOi", "JIUzI1NiJ9"), "eyJzdWIiOiIxIn0"),
            "json-web-token",
        ),
        (format!("{}.GaBcDe.{}", "MTIzNDU2Nzg5MDEyMzQ1Njc4", &BODY[..38]), "discord-token"),
    ];
    for (token, name) in &cases {
        for text in [
            token.clone(),
            format!("echo {token} | tee x"),
            format!("curl -H 'X: {token}' https://api.test"),
            format!("export TOKEN={token}"),
            format!("x=\"{token}\""),
            format!("printf 'a\\n{token}'"),
        ] {
            // A bot's number before the colon hides the shape behind a telling name: then that
            // name tells.
            if *name == "telegram-token" && text.starts_with("export") {
                finds(&text, "named-secret");
            } else {
                finds(&text, name);
            }
            assert!(!redact(&text).contains(&token[token.len() - 12..]), "{text}");
        }
    }
}

#[test]
fn what_is_given_to_a_telling_name_is_a_secret() {
    let key40 = BODY;
    for (text, name) in [
        ("mysql -u root -pS3cr3t! db", "password"),
        ("mysqldump -uroot -p'hunter2 x' db > d.sql", "password"),
        ("PGPASSWORD=hunter2 psql -h db", "password"),
        ("export DB_PASSWORD='correct horse'", "password"),
        ("tool --password hunter2", "password"),
        ("tool --password=hunter2", "password"),
        ("sshpass -p hunter2 ssh root@h", "password"),
        ("curl -u admin:hunter2 https://h", "password"),
        ("curl --user 'admin:hunter2' https://h", "password"),
        ("redis-cli -h h -a hunter2 ping", "password"),
        ("docker login -u me -p hunter2 reg", "password"),
        ("smbclient //h/s -U bob%hunter2", "password"),
        ("ldapsearch -x -w hunter2 -b dc=x", "password"),
        ("openssl enc -aes-256-cbc -pass pass:hunter2 -in f", "password"),
        ("echo hunter2 | sudo -S rm x", "password"),
        ("echo 'root:hunter2' | chpasswd", "password"),
        ("echo \"root:hunter2\" | sudo chpasswd", "password"),
        ("{\"password\": \"hunter2\"}", "password"),
        ("curl -d '{\\\"password\\\": \\\"hunter2\\\"}' h", "password"),
        ("config['password'] = 'hunter2'", "password"),
        ("password: hunter2!", "password"),
        ("curl 'https://h/login?user=a&password=hunter22'", "password"),
        ("psql postgres://me:hunter2@db/x", "url-password"),
        ("git clone https://bob:s3cr3t@github.test/x", "url-password"),
        ("curl -H 'Authorization: Bearer abcdef0123456789' h", "authorization-header"),
        ("curl -H \"Authorization: Basic dXNlcjpodW50ZXIy\" h", "authorization-header"),
        ("curl -H 'X-Api-Key: 0123456789abcdef' h", "named-secret"),
        ("export API_KEY=0123456789abcdef", "named-secret"),
        ("client_secret=9f8e7d6c5b4a", "named-secret"),
        ("kubeadm join h --token abcdef.0123456789abcdef", "named-secret"),
        ("vault write x -token s.abcdef0123456789", "named-secret"),
    ] {
        finds(text, name);
        assert!(!redact(text).contains("hunter2"), "{}", redact(text));
    }
    finds(&format!("aws_secret_access_key = {key40}"), "aws-secret-key");
    finds(&format!("AWS_SECRET_ACCESS_KEY={key40} aws s3 ls"), "aws-secret-key");
    finds(&format!("AccountName=x;AccountKey={BODY}{BODY}=="), "azure-key");
    finds(&format!("https://x.blob.test/c?sv=1&sig={BODY}%3D&se=2"), "azure-signature");
    finds(&format!("deploy_key: {key40}"), "high-entropy");
}

#[test]
fn private_keys_are_taken_out_whole() {
    let body = format!("{BODY}\n{BODY}");
    for label in [
        "RSA PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "PRIVATE KEY",
        "EC PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "PGP PRIVATE KEY BLOCK",
    ] {
        let key = format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----");
        let text = format!("cat > k <<E\n{key}\nE\n");
        finds(&text, "private-key");
        assert_eq!(redact(&text), "cat > k <<E\n‹redacted: private-key›\nE\n");
        let escaped = text.replace('\n', "\\n");
        assert_eq!(redact(&escaped), "cat > k <<E\\n‹redacted: private-key›\\nE\\n");
    }
    // Cut off in the middle it still opens what it opens.
    finds(&format!("echo '-----BEGIN RSA PRIVATE KEY-----\n{body}' > k"), "private-key");
}

#[test]
fn keys_for_tests_are_low_and_letters_are_no_promise() {
    let id = concat!("AK", "IAIOSFODNN7EXAMPLE");
    assert_eq!(told(id), [("aws-access-key", Risk::Medium)]);
    let secret = concat!("wJalrXUtnFEMI/K7MD", "ENG/bPxRfiCYEXAMPLEKEY");
    let setting = format!("AWS_SECRET_ACCESS_KEY={secret} aws s3 ls");
    assert_eq!(told(&setting), [("aws-secret-key", Risk::Medium)]);
    assert_eq!(told("AWS_SECRET_ACCESS_KEY=your-example-secret-access-key-goes-here aws"), []);
    let stripe = format!("{}{}", concat!("sk", "_test_"), &BODY[..24]);
    assert_eq!(told(&stripe), [("stripe-key", Risk::Low)]);
}

#[test]
fn placeholders_and_code_are_no_secrets() {
    for text in [
        "mysql -u root -p db",
        "mysql -u root -p\"$PW\" db",
        "mysql -u root; cp -pr a b",
        "mkdir -p /a/b",
        "docker run -p 80:80 -u 1000:1000 x",
        "ssh -p 2222 h",
        "export TOKEN=$MY_TOKEN PASSWORD=${X} SECRET=$(cat f)",
        "PASSWORD=changeme x",
        "--password <password>",
        "--password=your-password --token xxxxxxxxxxxx",
        "password=********",
        "env: TOKEN: ${{ secrets.GITHUB_TOKEN }}",
        "curl -u user:$PASS h",
        "curl -u \"$USER:$PASS\" h",
        "curl -H \"Authorization: Bearer $TOKEN\" h",
        "curl -H 'Authorization: Bearer <token>' h",
        "git clone https://$USER:$PASS@h/x",
        "git clone git@github.com:a/b.git",
        "ssh://git@host:22/x",
        "scp a user@host:/path",
        "password = getpass.getpass()",
        "def f(password: str, token: Optional[str] = None):",
        "let token: String = next_token(&mut lexer)?;",
        "token = lexer.next_token",
        "connect(user=u, password=password)",
        "if token == \"abcdefgh12345678\":",
        "--password-file /run/secrets/x",
        "--token-file=/run/x12345678",
        "PWD=/home/x1 OLDPWD=/a",
        "sort -t: --key=2,2 f",
        "git commit -m 'rotate the API key: see docs'",
        "echo 'Enter password: '",
        "read -s -p 'Password: ' PASSWORD",
        "git checkout 3f9a1c7be2d84605af13c9e87b20d64f12345678",
        "docker pull x@sha256:3f9a1c7be2d84605af13c9e87b20d64f3f9a1c7be2d84605af13c9e87b20d64f",
        "id: 550e8400-e29b-41d4-a716-446655440000",
        "\"integrity\": \"sha512-aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5bC7d==\"",
        "echo ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ9kL1mN3pQ5rS7tU9vW1xY3zA5bC7d me@h",
        "grep -r 'BEGIN RSA PRIVATE KEY' .",
        "grep -rl -- '-----BEGIN RSA PRIVATE KEY-----' .",
        "openssl rsa -in private_key.pem -pubout -out public_key.pem",
        "cat <<E\n-----BEGIN CERTIFICATE-----\naB3dE5fG7hJ9kL1m\n-----END CERTIFICATE-----\nE",
        "cache-key: linux-node-20-3f9a1c7be2d84605",
        "sk-learn-extra-long-package-name-2",
        "pip install scikit-learn torch==2.1.0",
        "max_tokens=40961234",
        "aws s3 ls --profile prod",
        "tool --secret-name my-app-secret-12",
        "AKIA",
        "ghp_short",
    ] {
        assert_eq!(told(text), [], "{text}");
        assert_eq!(redact(text), text);
    }
}

#[test]
fn an_excerpt_never_holds_the_secret() {
    let key = format!("{}{}", concat!("gh", "p_"), &BODY[..36]);
    for text in [
        format!("login {key} x"),
        format!("\u{1b}[2J{key}\u{202e}"),
        format!("PASSWORD=hunter2 r\u{200b}m {key}"),
        "mysql -phunter2\u{8}".to_owned(),
    ] {
        for finding in found(&text) {
            assert!(!finding.excerpt.contains(&key[8..20]), "{}", finding.excerpt);
            assert!(!finding.excerpt.contains("hunter2"), "{}", finding.excerpt);
            assert!(!finding.excerpt.chars().any(char::is_control), "{:?}", finding.excerpt);
        }
    }
}

#[test]
fn no_secret_is_more_than_medium() {
    assert_eq!(worst("mysql -u root -pS3cr3t! -h prod"), Risk::Medium);
}

#[test]
fn redaction_leaves_everything_else_as_it_is() {
    assert_eq!(
        redact("héllo DB_PASSWORD='grüße1' && run --token=aB3dE5fG7hJ9kL1m ☃"),
        "héllo DB_PASSWORD='‹redacted: password›' && run --token=‹redacted: named-secret› ☃"
    );
    assert_eq!(redact("https://u:pw12@h/p"), "https://u:‹redacted: url-password›@h/p");
}
