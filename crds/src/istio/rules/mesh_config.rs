// SPDX-License-Identifier: Apache-2.0
//! Rules of MeshConfig (`ValidateMeshConfig`), as far as it is obeyed. Of what Istio takes and cannot use, such as a reason
//! to retry that does not exist, nothing is said here.

use std::time::Duration;

use crate::istio::mesh_config::MeshConfig;
use crate::istio::rules::destination_rule::{judge_outliers, judge_pool};
use crate::istio::rules::load_balancer::judge_locality;
use crate::istio::rules::shared::duration;
use crate::violation::{At, Findings};

/// The longest `connectTimeout` that Istio takes.
const LONGEST: Duration = Duration::from_hours(1);

pub(super) fn judge(config: &MeshConfig, root: &At<'_>, found: &mut Findings) {
    let at = root.field("connectTimeout");
    duration(config.connect_timeout, &at, found);
    if config.connect_timeout.is_some_and(|timeout| timeout > LONGEST) {
        found.error(&at, "is longer than an hour", "write it like 10s");
    }
    let at = root.field("defaultTrafficPolicy");
    if let Some(pool) = &config.default_traffic_policy.connection_pool {
        judge_pool(pool, &at.field("connectionPool"), found);
    }
    if let Some(outliers) = &config.default_traffic_policy.outlier_detection {
        judge_outliers(outliers, &at.field("outlierDetection"), found);
    }
    if let Some(locality) = &config.locality_lb_setting {
        judge_locality(locality, &root.field("localityLbSetting"), found);
    }
    let at = root.field("discoverySelectors");
    for (index, selector) in config.discovery_selectors.iter().enumerate() {
        if let Some(why) = selector.invalid() {
            found.error(&at.item(index), format!("is no selector: {why}"), "correct it");
        }
    }
}
