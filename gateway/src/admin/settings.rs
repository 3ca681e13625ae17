//! Settings of the group as a whole: floor, former places, mappings.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::{Body, Problem};
use super::{Admin, Shared};
use crate::group::{Floor, FormerPlace, Mapping};

/// Settings of the group.
#[derive(Serialize, ToSchema)]
#[schema(as = GroupSettings)]
pub(super) struct Settings {
    /// What is encrypted whatever toggles and policies say, besides the configuration of each gateway.
    floor: Floor,
    /// Places from which objects were brought by other ways.
    former_places: Vec<FormerPlace>,
    /// Buckets that lie elsewhere than under their name in the home backend.
    mappings: Vec<Mapped>,
}

/// A bucket that lies elsewhere.
#[derive(Serialize, ToSchema)]
pub(super) struct Mapped {
    bucket: String,
    #[serde(flatten)]
    mapping: Mapping,
}

/// Shows the settings of the group.
#[utoipa::path(get, path = "/settings", tag = "settings", responses((status = 200, body = Settings)))]
pub(super) async fn show(State(admin): Shared) -> Json<Settings> {
    Json(view(&admin))
}

/// Sets the floor.
#[utoipa::path(put, path = "/settings/floor", tag = "settings", request_body = Floor,
    responses((status = 200, body = Settings), (status = 400, body = Problem)))]
pub(super) async fn set_floor(State(admin): Shared, Body(body): Body<Floor>) -> Result<Json<Settings>, Problem> {
    admin.edit(|document| document.set_floor(body.clone())).await?;
    Ok(Json(view(&admin)))
}

/// Sets the former places.
#[utoipa::path(put, path = "/settings/former-places", tag = "settings", request_body = Vec<FormerPlace>,
    responses((status = 200, body = Settings), (status = 400, body = Problem)))]
pub(super) async fn set_former_places(
    State(admin): Shared,
    Body(body): Body<Vec<FormerPlace>>,
) -> Result<Json<Settings>, Problem> {
    admin.edit(|document| document.set_former_places(body.clone())).await?;
    Ok(Json(view(&admin)))
}

fn view(admin: &Admin) -> Settings {
    let document = admin.group.document();
    let mapped = document
        .buckets
        .iter()
        .filter_map(|(name, bucket)| bucket.mapping.clone().map(|mapping| Mapped { bucket: name.clone(), mapping }));
    Settings {
        floor: document.floor.clone(),
        former_places: document.former_places.clone(),
        mappings: mapped.collect(),
    }
}
