//! What the operator says of how people are told.

use std::path::PathBuf;

use url::Url;

use super::reach::AllowedHost;

/// How those are told whom a manifest's `notify` names.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Telling {
    /// File with the secret that messages to webhooks are signed with, 16 characters or more; or the secret itself in the
    /// variable BTCTL_NOTIFY_SECRET.
    #[arg(long, env = "BTCTL_NOTIFY_SECRET_FILE", value_name = "FILE")]
    pub notify_secret_file: Option<PathBuf>,
    /// Networks and hosts that are told although they are not public, e.g. 10.0.0.0/8,chat.internal:443.
    #[arg(long, env = "BTCTL_NOTIFY_ALLOW", value_delimiter = ',', value_name = "CIDR|HOST:PORT,...")]
    pub notify_allow: Vec<AllowedHost>,
    /// Server that mails are sent by, e.g. smtps://user:password@mail.example:465, or smtp://mail.example:587?tls=required.
    #[arg(long, env = "BTCTL_SMTP_URL", hide_env_values = true, value_name = "URL")]
    pub smtp_url: Option<String>,
    /// Address that mails come from, e.g. btctl@quant.example.
    #[arg(long, env = "BTCTL_SMTP_FROM", value_name = "ADDRESS")]
    pub smtp_from: Option<String>,
    /// Address of the page for people, such as https://HOST/btctl; messages link to it.
    #[arg(long, env = "BTCTL_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<Url>,
}
