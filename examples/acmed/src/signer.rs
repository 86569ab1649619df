//! Signing by a command: for keys that this process is not to have.

use std::{process::Stdio, time::Duration};

use async_trait::async_trait;
use coyote_server::{
    issue::{SignatureAlgorithm, Signer, UnusableKey},
    storage::BoxError,
};
use openssl::pkey::{PKey, PKeyRef, Public};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
    time::timeout,
};

/// More than any signature has, in bytes.
const LARGEST: u64 = 16 << 10;

/// A program that is run for each signature: the message is its input, and the signature its output. What it complains
/// of goes where acmed's log goes.
#[derive(Debug)]
pub(crate) struct CommandSigner {
    program: String,
    arguments: Vec<String>,
    patience: Duration,
    public_key: PKey<Public>,
    algorithm: SignatureAlgorithm,
}

impl CommandSigner {
    /// This command, which has the private half of this key.
    pub(crate) fn new(
        (program, arguments): (&str, &[String]),
        patience: Duration,
        public_key: PKey<Public>,
    ) -> Result<Self, UnusableKey> {
        let algorithm = SignatureAlgorithm::for_key(&public_key).ok_or(UnusableKey::Unsupported)?;
        let (program, arguments) = (program.to_owned(), arguments.to_vec());
        Ok(Self { program, arguments, patience, public_key, algorithm })
    }

    async fn run(&self, message: &[u8]) -> Result<Vec<u8>, BoxError> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the command has no input or output".into());
        };
        let write = async move {
            input.write_all(message).await // and closes it
        };
        let mut signature = Vec::new();
        let mut output = output.take(LARGEST);
        let (written, read) = tokio::join!(write, output.read_to_end(&mut signature));
        let status = child.wait().await?;
        if !status.success() {
            return Err(format!("the command that signs failed: {status}").into());
        }
        written?;
        read?;
        Ok(signature)
    }
}

#[async_trait]
impl Signer for CommandSigner {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn public_key(&self) -> &PKeyRef<Public> {
        &self.public_key
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, BoxError> {
        let signed = timeout(self.patience, self.run(message)).await;
        signed.map_err(|_| "the command that signs took too long")?
    }
}
