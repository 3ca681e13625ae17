//! What administrators change. An edit either leaves the document valid or refuses and says why; it reads no clock and
//! draws no randomness, since it is run again on a newer document when another member was faster.

use std::collections::BTreeMap;

use ids::KmsId;

use super::{
    Backup, Bucket, Credential, Document, Floor, FormerPlace, Grant, Identity, KmsEntry, Refusal, Token, UnixMillis,
};

/// Bounds of a document: far beyond any group, and small enough to be read whole.
const MAX_BUCKETS: usize = 20_000;
const MAX_CREDENTIALS: usize = 10_000;
const MAX_TOKENS: usize = 1_000;
const MAX_KMS: usize = 64;
const MAX_GRANTS: usize = 64;
const MAX_PATTERNS: usize = 256;
const MAX_PLACES: usize = 1_000;
const MAX_IDENTITIES: usize = 64;

impl Document {
    /// Switches the encryption of a bucket. Nothing changes if it already is so.
    pub fn set_encryption(&mut self, bucket: &str, encrypt: bool, now: UnixMillis) -> Result<(), Refusal> {
        if self.toggled(bucket) == encrypt {
            return Ok(());
        }
        let settings = self.bucket_mut(bucket)?;
        settings.encrypt = encrypt;
        settings.encrypt_since = encrypt.then_some(now);
        if encrypt {
            settings.ever_due.get_or_insert(now);
        }
        self.tidy(bucket);
        Ok(())
    }

    /// Records that encryption was due in the bucket by another reason than its toggle.
    pub fn record_due(&mut self, bucket: &str, now: UnixMillis) -> Result<(), Refusal> {
        // Also below a floor, which may be lifted while what it encrypted stays.
        self.bucket_mut(bucket)?.ever_due.get_or_insert(now);
        Ok(())
    }

    /// Changes settings of a bucket by `change`, which must not touch the toggle.
    pub fn change_bucket(&mut self, bucket: &str, change: impl FnOnce(&mut Bucket)) -> Result<(), Refusal> {
        change(self.bucket_mut(bucket)?);
        self.tidy(bucket);
        Ok(())
    }

    /// Forgets a bucket that was deleted.
    pub fn forget_bucket(&mut self, bucket: &str) {
        self.buckets.remove(bucket);
    }

    fn bucket_mut(&mut self, bucket: &str) -> Result<&mut Bucket, Refusal> {
        if bucket.is_empty() || bucket.len() > 255 {
            return Err(Refusal::Invalid(format!("{bucket:?} is not a bucket name")));
        }
        if !self.buckets.contains_key(bucket) && self.buckets.len() >= MAX_BUCKETS {
            return Err(Refusal::Conflict(format!("{MAX_BUCKETS} buckets have settings, that is the most")));
        }
        Ok(self.buckets.entry(bucket.to_owned()).or_default())
    }

    fn tidy(&mut self, bucket: &str) {
        if self.buckets.get(bucket) == Some(&Bucket::default()) {
            self.buckets.remove(bucket);
        }
    }

    /// Adds a credential under a new access key.
    pub fn add_credential(&mut self, access_key: &str, credential: Credential) -> Result<(), Refusal> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if !(3..=128).contains(&access_key.len()) || !access_key.bytes().all(legal) {
            return Err(Refusal::Invalid("an access key has 3 to 128 of a-z A-Z 0-9 . _ -".into()));
        }
        if access_key == crate::s3::request::CONSOLE {
            return Err(Refusal::Invalid(format!("{access_key} is what policies call the web console")));
        }
        if !(8..=256).contains(&credential.secret.expose().len()) {
            return Err(Refusal::Invalid("a secret key has 8 to 256 characters".into()));
        }
        check_name(&credential.name)?;
        check_grants(&credential.grants)?;
        check_identities(&credential.identities)?;
        if self.credentials.contains_key(access_key) {
            return Err(Refusal::Conflict(format!("there is a credential {access_key} already")));
        }
        if self.credentials.len() >= MAX_CREDENTIALS {
            return Err(Refusal::Conflict(format!("there are {MAX_CREDENTIALS} credentials, that is the most")));
        }
        self.credentials.insert(access_key.to_owned(), credential);
        Ok(())
    }

    /// Changes name, rights or the admin mark of a credential; what is none stays.
    pub fn change_credential(
        &mut self,
        access_key: &str,
        name: Option<&str>,
        admin: Option<bool>,
        grants: Option<&[Grant]>,
    ) -> Result<(), Refusal> {
        let last = self.is_last_admin(access_key);
        let credential = self.credentials.get_mut(access_key).ok_or_else(|| no_credential(access_key))?;
        if last && admin == Some(false) {
            return Err(Refusal::Conflict(format!("{access_key} is the last admin credential")));
        }
        if let Some(name) = name {
            check_name(name)?;
            name.clone_into(&mut credential.name);
        }
        if let Some(grants) = grants {
            check_grants(grants)?;
            credential.grants = grants.to_vec();
        }
        credential.admin = admin.unwrap_or(credential.admin);
        Ok(())
    }

    /// Sets who the holder of a credential is at the backends.
    pub fn set_identities(&mut self, access_key: &str, identities: BTreeMap<String, Identity>) -> Result<(), Refusal> {
        check_identities(&identities)?;
        self.credentials.get_mut(access_key).ok_or_else(|| no_credential(access_key))?.identities = identities;
        Ok(())
    }

    /// Removes a credential; not the last one that may administer.
    pub fn remove_credential(&mut self, access_key: &str) -> Result<(), Refusal> {
        if self.is_last_admin(access_key) {
            return Err(Refusal::Conflict(format!("{access_key} is the last admin credential")));
        }
        self.credentials.remove(access_key).map(|_| ()).ok_or_else(|| no_credential(access_key))
    }

    fn is_last_admin(&self, access_key: &str) -> bool {
        let is_admin = |key: &str| self.credentials.get(key).is_some_and(|credential| credential.admin);
        is_admin(access_key) && !self.credentials.keys().any(|other| other != access_key && is_admin(other))
    }

    /// Adds an API token under a new ID.
    pub fn add_token(&mut self, id: &str, token: Token) -> Result<(), Refusal> {
        check_name(&token.name)?;
        if self.tokens.contains_key(id) {
            return Err(Refusal::Conflict(format!("there is a token {id} already")));
        }
        if self.tokens.len() >= MAX_TOKENS {
            return Err(Refusal::Conflict(format!("there are {MAX_TOKENS} tokens, that is the most")));
        }
        self.tokens.insert(id.to_owned(), token);
        Ok(())
    }

    /// Removes an API token; not the last one, which would lock everybody out.
    pub fn remove_token(&mut self, id: &str) -> Result<(), Refusal> {
        if !self.tokens.contains_key(id) {
            return Err(Refusal::NotFound(format!("there is no token {id}")));
        }
        if self.tokens.len() == 1 {
            return Err(Refusal::Conflict(format!("{id} is the last token")));
        }
        self.tokens.remove(id);
        Ok(())
    }

    /// Adds a KMS under a new ID.
    pub fn add_kms(&mut self, id: &KmsId, entry: KmsEntry) -> Result<(), Refusal> {
        if self.kms.contains_key(id) {
            let advice = "give another ID, or rotate its key";
            return Err(Refusal::Conflict(format!("there is a KMS {id} already; {advice}")));
        }
        if self.kms.len() >= MAX_KMS {
            return Err(Refusal::Conflict(format!("there are {MAX_KMS} KMS, that is the most")));
        }
        self.kms.insert(id.clone(), entry);
        Ok(())
    }

    /// The entry of a KMS, to replace its state.
    pub fn kms_mut(&mut self, id: &KmsId) -> Result<&mut KmsEntry, Refusal> {
        self.kms.get_mut(id).ok_or_else(|| no_kms(id))
    }

    /// Records that a copy of a key that was made in place is kept.
    pub fn record_backup(&mut self, id: &KmsId, fingerprint: &str, backup: Backup) -> Result<(), Refusal> {
        let made = self.kms_mut(id)?.made.get_mut(fingerprint);
        made.ok_or_else(|| not_made(id, fingerprint))?.backup = Some(backup);
        Ok(())
    }

    /// Makes a KMS the one under which new objects are encrypted.
    pub fn activate_kms(&mut self, id: &KmsId) -> Result<(), Refusal> {
        if !self.kms.contains_key(id) {
            return Err(no_kms(id));
        }
        self.active_kms = Some(id.clone());
        Ok(())
    }

    /// Removes a KMS with its keys. Says whether it was the active one; then no object can be encrypted until another is.
    pub fn remove_kms(&mut self, id: &KmsId) -> Result<bool, Refusal> {
        self.kms.remove(id).ok_or_else(|| no_kms(id))?;
        let was_active = self.active_kms.as_ref() == Some(id);
        if was_active {
            self.active_kms = None;
        }
        Ok(was_active)
    }

    /// Sets the floor.
    pub fn set_floor(&mut self, floor: Floor) -> Result<(), Refusal> {
        if floor.encrypt.len() > MAX_PATTERNS {
            return Err(Refusal::Invalid(format!("at most {MAX_PATTERNS} patterns")));
        }
        self.floor = floor;
        Ok(())
    }

    /// Sets the former places.
    pub fn set_former_places(&mut self, places: Vec<FormerPlace>) -> Result<(), Refusal> {
        let long = |place: &FormerPlace| {
            place.bucket.is_empty()
                || place.former_bucket.is_empty()
                || place.bucket.len().max(place.former_bucket.len()) > 255
                || place.prefix.len().max(place.former_prefix.len()) > 1024
        };
        if places.len() > MAX_PLACES || places.iter().any(long) {
            let rule = format!("at most {MAX_PLACES}, each with two buckets, and prefixes of at most 1024 bytes");
            return Err(Refusal::Invalid(format!("former places: {rule}")));
        }
        self.former_places = places;
        Ok(())
    }
}

fn no_kms(id: &KmsId) -> Refusal {
    Refusal::NotFound(format!("there is no KMS {id}"))
}

/// A key of which no copy is given out, since its operator has the file that it came from.
pub(crate) fn not_made(id: &KmsId, fingerprint: &str) -> Refusal {
    let shown: String = fingerprint.chars().take(80).collect();
    Refusal::Conflict(format!(
        "KMS {id} has no key {shown} that was made in place; of one that was uploaded, the file that it came from is the copy"
    ))
}

fn no_credential(access_key: &str) -> Refusal {
    let shown: String = access_key.chars().take(128).collect();
    Refusal::NotFound(format!("there is no credential {shown}"))
}

fn check_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
        return Err(Refusal::Invalid("a name has 1 to 200 bytes and no control characters".into()));
    }
    Ok(())
}

fn check_grants(grants: &[Grant]) -> Result<(), Refusal> {
    let long = |grant: &Grant| grant.buckets.len() > MAX_PATTERNS || grant.actions.len() > 5;
    let empty = |grant: &Grant| grant.buckets.is_empty() || grant.actions.is_empty();
    if grants.len() > MAX_GRANTS || grants.iter().any(|grant| long(grant) || empty(grant)) {
        let rule = format!("at most {MAX_GRANTS} grants, each with 1 to {MAX_PATTERNS} patterns and 1 to 5 actions");
        return Err(Refusal::Invalid(rule));
    }
    Ok(())
}

fn check_identities(identities: &BTreeMap<String, Identity>) -> Result<(), Refusal> {
    let legal =
        |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|b| matches!(b, b' '..=b'~'));
    let odd = |identity: &Identity| !legal(&identity.access_key, 256) || !legal(identity.secret.expose(), 1024);
    if identities.len() > MAX_IDENTITIES || identities.values().any(odd) {
        let rule = "an access key of 1 to 256 and a secret key of 1 to 1024 printable characters of ASCII";
        return Err(Refusal::Invalid(format!("identities: at most {MAX_IDENTITIES}, each with {rule}")));
    }
    Ok(())
}
