//! Which Central and which gateway a command speaks to.

use std::path::PathBuf;

use serde_json::Value;

use crate::client::Client;
use crate::failure::{Context, Failure};

/// What the command line and the environment say about targets.
pub(crate) struct Targets {
    /// Ready file of `sealgate dev`.
    pub(crate) ready_file: Option<PathBuf>,
    /// Name of a gateway in the ready file.
    pub(crate) gateway: Option<String>,
}

impl Targets {
    /// Central, from the ready file or `SEALGATE_CENTRAL_URL` and `SEALGATE_CENTRAL_TOKEN`.
    pub(crate) fn central(&self) -> Result<Client, Failure> {
        match self.ready()? {
            Some(ready) => client_of(&ready["central"], "Central"),
            None => from_environment("Central", "SEALGATE_CENTRAL_URL", "SEALGATE_CENTRAL_TOKEN"),
        }
    }

    /// A gateway, from the ready file or `SEALGATE_GATEWAY_URL` and `SEALGATE_GATEWAY_TOKEN`.
    pub(crate) fn gateway(&self) -> Result<Client, Failure> {
        let Some(ready) = self.ready()? else {
            return from_environment("gateway", "SEALGATE_GATEWAY_URL", "SEALGATE_GATEWAY_TOKEN");
        };
        let gateways = ready["gateways"].as_array().cloned().unwrap_or_default();
        let chosen = match &self.gateway {
            None => gateways.first(),
            Some(name) => gateways.iter().find(|gateway| gateway["name"].as_str() == Some(name)),
        };
        let Some(chosen) = chosen else {
            let names: Vec<&str> = gateways.iter().filter_map(|gateway| gateway["name"].as_str()).collect();
            let wanted = self.gateway.as_deref().unwrap_or("the first");
            return Err(Failure::Usage(format!(
                "the ready file has no gateway {wanted:?}; it has: {}",
                names.join(", ")
            )));
        };
        client_of(chosen, "the gateway")
    }

    fn ready(&self) -> Result<Option<Value>, Failure> {
        let Some(path) = &self.ready_file else { return Ok(None) };
        let text = std::fs::read(path)
            .or_refuse(|| format!("the ready file {} cannot be read (is `sealgate dev` running?)", path.display()))?;
        serde_json::from_slice(&text).or_refuse(|| format!("{} is not a ready file", path.display())).map(Some)
    }
}

fn client_of(entry: &Value, whose: &str) -> Result<Client, Failure> {
    match (entry["console"].as_str(), entry["token"].as_str()) {
        (Some(url), Some(token)) => Ok(Client::new(url, token)),
        _ => Err(Failure::refused(format!("the ready file names no address and token of {whose}"))),
    }
}

fn from_environment(what: &str, url: &str, token: &str) -> Result<Client, Failure> {
    let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (read(url), read(token)) {
        (Some(url), Some(token)) => Ok(Client::new(&url, &token)),
        _ => Err(Failure::Usage(format!("no {what} to speak to: give --ready-file, or set {url} and {token}"))),
    }
}
