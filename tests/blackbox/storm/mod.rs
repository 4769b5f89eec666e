// SPDX-License-Identifier: Apache-2.0
//! Five thousand routes, one of them edited again and again, and clients that must not notice. `./dev storm` runs it at
//! full size, `./dev test` smaller.

mod requests;

mod traffic;

mod websockets;

use torana_tests::World;

/// Routes that nobody edits.
const ROUTES: usize = 5_000;
/// The host of the route that is edited.
const EDITED: &str = "edited.example.com";
/// The header that says which edit an answer is of.
const EDIT: &str = "x-edit";

/// The full size is asked for, on a machine that does nothing else.
fn full() -> bool {
    std::env::var_os("TORANA_STORM_SECONDS").is_some()
}

/// A size that `./dev storm` sets.
fn size(variable: &str, small: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(small)
}

/// The host of an unedited route.
fn host(number: usize) -> String {
    format!("h{}.example.com", 1 + number % (ROUTES - 1))
}

/// Which backend an edit sends to: the other one than the edit before.
fn colour(edit: usize) -> &'static str {
    if edit.is_multiple_of(2) { "blue" } else { "green" }
}

/// A gateway before two services, and the routes to the first. One names the second, so that it does not come and go
/// with the edits.
fn start(blue: u16, green: u16) -> World {
    let routes: String = (1..ROUTES).map(|at| World::route(&format!("r{at}"), &host(at), "blue")).collect();
    let routes = routes + &World::route("green", "green.example.com", "green");
    let (blue, green) = (World::service("blue", blue), World::service("green", green));
    World::start(&format!("{}{blue}{green}{routes}", World::gateway()))
}

/// Saves the edited route: another backend, and the edit's number on every answer.
fn edit(world: &World, number: usize) {
    let filter = format!(
        "rules: [{{filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: {EDIT}, value: \
         '{number}'}}]}}}}], "
    );
    world.apply("edited.yaml", &World::route("edited", EDITED, colour(number)).replacen("rules: [{", &filter, 1));
}
