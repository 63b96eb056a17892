//! Secrets: by their own shape, or by the name that they are given to.

pub(super) mod assignment;
pub(super) mod block;
pub(super) mod command;
mod name;
mod placeholder;
mod randomness;
pub(super) mod token;
mod value;

pub(super) use command::Commands;

/// Whose secret it is, as far as it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SecretKind {
    /// A private key in PEM or OpenPGP armour, or of age.
    PrivateKey,
    /// The id of an access key of AWS.
    AwsAccessKey,
    /// A secret access key of AWS.
    AwsSecretKey,
    GithubToken,
    GitlabToken,
    SlackToken,
    /// An address that posts to a channel of Slack, Discord or Teams.
    WebhookUrl,
    StripeKey,
    GoogleApiKey,
    /// An access token or client secret of Google's OAuth.
    GoogleOauth,
    /// An account key of Azure.
    AzureKey,
    /// A shared access signature of Azure.
    AzureSignature,
    NpmToken,
    PypiToken,
    OpenaiKey,
    AnthropicKey,
    HuggingFaceToken,
    SendgridKey,
    TwilioKey,
    TelegramToken,
    DiscordToken,
    DigitaloceanToken,
    VaultToken,
    DatabricksToken,
    DockerToken,
    /// A token of one of the many other services that mark theirs by a prefix.
    ServiceToken,
    JsonWebToken,
    /// The password in `scheme://user:password@host`.
    UrlPassword,
    /// What follows `Authorization: Bearer`, `Basic` or `token`.
    AuthorizationHeader,
    /// What is given to a name such as `password`.
    Password,
    /// What is given to a name such as `token`, `secret` or `api_key`.
    NamedSecret,
    /// Random letters given to a name such as `key`.
    HighEntropy,
}

impl SecretKind {
    /// The stable name, in kebab case.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PrivateKey => "private-key",
            Self::AwsAccessKey => "aws-access-key",
            Self::AwsSecretKey => "aws-secret-key",
            Self::GithubToken => "github-token",
            Self::GitlabToken => "gitlab-token",
            Self::SlackToken => "slack-token",
            Self::WebhookUrl => "webhook-url",
            Self::StripeKey => "stripe-key",
            Self::GoogleApiKey => "google-api-key",
            Self::GoogleOauth => "google-oauth",
            Self::AzureKey => "azure-key",
            Self::AzureSignature => "azure-signature",
            Self::NpmToken => "npm-token",
            Self::PypiToken => "pypi-token",
            Self::OpenaiKey => "openai-key",
            Self::AnthropicKey => "anthropic-key",
            Self::HuggingFaceToken => "hugging-face-token",
            Self::SendgridKey => "sendgrid-key",
            Self::TwilioKey => "twilio-key",
            Self::TelegramToken => "telegram-token",
            Self::DiscordToken => "discord-token",
            Self::DigitaloceanToken => "digitalocean-token",
            Self::VaultToken => "vault-token",
            Self::DatabricksToken => "databricks-token",
            Self::DockerToken => "docker-token",
            Self::ServiceToken => "service-token",
            Self::JsonWebToken => "json-web-token",
            Self::UrlPassword => "url-password",
            Self::AuthorizationHeader => "authorization-header",
            Self::Password => "password",
            Self::NamedSecret => "named-secret",
            Self::HighEntropy => "high-entropy",
        }
    }
}

/// How long the mark is that redaction left at the start of `text`; 0 if there is none.
pub(super) fn marker_length(text: &[u8]) -> usize {
    let begin = "‹redacted: ".as_bytes();
    let Some(rest) = text.strip_prefix(begin) else { return 0 };
    let name =
        rest.iter().take(40).take_while(|byte| byte.is_ascii_lowercase() || **byte == b'-').count();
    let end = "›".as_bytes();
    if name > 0 && rest.get(name..).is_some_and(|tail| tail.starts_with(end)) {
        begin.len() + name + end.len()
    } else {
        0
    }
}
