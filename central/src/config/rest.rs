//! The settings in force over REST: to be read, not to be changed.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;

use crate::app::App;
use crate::caller::Permit;
use crate::error::Error;

/// What is in force at the replica that answers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Settings {
    /// In the order of the documentation.
    pub sections: Vec<Section>,
}

/// The settings of one section.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Its settings.
    pub settings: Vec<Setting>,
}

/// A setting.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Setting {
    /// Its name within the section.
    pub key: String,
    /// A text, number, truth value or list; null where it has none. Secrets are masked.
    #[schema(value_type = Object)]
    pub value: serde_json::Value,
    /// default, file, environment or flag.
    pub from: &'static str,
}

/// The settings in force. They are changed in the file, the environment or by flags, and hold from the next start.
#[utoipa::path(get, path = "/settings", tag = "settings", responses((status = 200, body = Settings)))]
pub async fn settings(State(app): State<App>, Extension(_permit): Extension<Permit>) -> Result<Json<Settings>, Error> {
    let mut sections: Vec<Section> = Vec::new();
    for (path, value) in app.config.effective() {
        let (name, key) = path.split_once('.').unwrap_or(("", path));
        let value = serde_json::to_value(value).map_err(|error| Error::internal("a setting", error))?;
        let from = app.config.origins.get(path).copied().unwrap_or("default");
        let setting = Setting { key: key.to_owned(), value, from };
        match sections.last_mut().filter(|section| section.name == name) {
            Some(section) => section.settings.push(setting),
            None => sections.push(Section { name: name.to_owned(), settings: vec![setting] }),
        }
    }
    Ok(Json(Settings { sections }))
}
