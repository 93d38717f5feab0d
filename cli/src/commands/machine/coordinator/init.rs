//! `btctl coordinator init`: the cluster's certificate authority, and this coordinator's certificate.

use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use bt_documents::MadeCertificate;
use bt_trust::{Authority, SERVER_CERTIFICATE, renew_server};

use crate::error::Error;
use crate::files;
use crate::output::{Cell, Json, OutputArgs, print, print_facts};
use crate::up::{found_names, in_address, with_local};

/// The port that a coordinator has if nothing says otherwise.
const PORT: u16 = 7600;

const EXAMPLES: &str = "\
Examples:
  btctl coordinator init --tls-dir /etc/btctl/tls
  btctl coordinator init --tls-dir /etc/btctl/tls --name btctl.example --name 10.0.0.5

A second coordinator of the same cluster needs the same authority: copy ca.pem and ca.key into a directory on its machine, \
and run init there.";

/// Make the cluster's certificate authority, and a certificate for the coordinator on this machine.
///
/// Nothing that is there is replaced: with an authority in the directory, only the coordinator's certificate is made anew.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Init {
    /// Directory for certificates and keys; it is made if it is not there. `btctl coordinator --tls-dir` takes it.
    #[arg(long, env = "BTCTL_TLS_DIR", value_name = "DIR", value_parser = files::directory)]
    tls_dir: PathBuf,
    /// Name or address by which clients and agents reach this coordinator, without a port; may be repeated. This machine's
    /// names and its address on its way out if none is given, and always localhost.
    #[arg(long = "name", value_name = "HOST")]
    names: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Init {
    pub(crate) fn run(self) -> Result<(), Error> {
        let dir = &self.tls_dir;
        let fails = |error: bt_trust::Error| Error::Failed(error.to_string());
        let make = std::fs::DirBuilder::new().recursive(true).mode(0o750).create(dir);
        make.map_err(|error| Error::Failed(format!("{} can't be made: {error}", dir.display())))?;
        let (authority, is_new_authority) = Authority::open_or_make(dir).map_err(fails)?;
        let names = with_local(if self.names.is_empty() { found_names() } else { self.names.clone() });
        renew_server(dir, &authority, &names).map_err(fails)?;
        let made = MadeCertificate {
            tls_dir: dir.display().to_string(),
            pin: authority.pin().to_string(),
            certificate: dir.join(SERVER_CERTIFICATE).display().to_string(),
            names: names.clone(),
            is_new_authority,
        };
        if !self.output.output.is_for_people() {
            let facts = [("pin", Cell::text(&made.pin)), ("names", Cell::text(names.join(" ")))];
            return print_facts(facts.into_iter(), &Json::of(&made)?, self.output.output);
        }
        print(&told(&made, names.first().map_or("localhost", String::as_str)))
    }
}

/// What was made, and the commands that come next, ready to paste.
fn told(made: &MadeCertificate, host: &str) -> String {
    let MadeCertificate { tls_dir, pin, names, is_new_authority, .. } = made;
    let authority = match is_new_authority {
        true => {
            "a new authority; keep its key ca.key safe: whoever has it can pass for any coordinator or agent"
        }
        false => "the authority that was there",
    };
    let host = in_address(host);
    format!(
        "{tls_dir}: {authority}\ncertificate for {}\npin {pin}\n\nstart the coordinator:\n  \
         btctl coordinator --tls-dir {tls_dir} --listen 0.0.0.0:{PORT} --auth tokens --admin-token-file {tls_dir}/admin.token \\\n    \
         --database-url postgres://... --store ...\n\
         on other machines:\n  export BTCTL_COORDINATOR=https://{host}:{PORT} BTCTL_CA_PIN={pin}",
        names.join(", ")
    )
}
