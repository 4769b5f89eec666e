// SPDX-License-Identifier: Apache-2.0
//! Results in a row, and when they change what an endpoint is. Knows neither a clock nor an endpoint.

use torana_ir::HealthCheck;

/// Of one endpoint.
#[derive(Debug)]
pub(super) struct Row {
    /// What it is now.
    fails: bool,
    /// No check of it has ended yet: the first decides.
    is_fresh: bool,
    /// Results in a row that say something else.
    against: u32,
}

impl Row {
    /// Of an endpoint that is healthy or not.
    pub(super) fn of(fails: bool) -> Self {
        Self { fails, is_fresh: true, against: 0 }
    }

    /// Takes one result; what the endpoint is now, if that is another thing than before.
    pub(super) fn take(&mut self, passed: bool, check: &HealthCheck) -> Option<bool> {
        let is_fresh = std::mem::take(&mut self.is_fresh);
        if passed != self.fails {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        let enough = if passed { check.healthy } else { check.unhealthy };
        if self.against < enough.get() && !is_fresh {
            return None;
        }
        self.against = 0;
        self.fails = !passed;
        Some(self.fails)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use torana_ir::Probe;

    use super::*;

    fn check(unhealthy: u32, healthy: u32) -> HealthCheck {
        let number = |number: u32| NonZeroU32::new(number).unwrap();
        HealthCheck {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            unhealthy: number(unhealthy),
            healthy: number(healthy),
            port: None,
            probe: Probe::Tcp,
        }
    }

    /// Results as `+` and `-`; what follows each: `u` unhealthy from now on, `h` healthy, `.` as before.
    fn course(mut row: Row, check: &HealthCheck, results: &str) -> String {
        let each = results.chars().map(|result| match row.take(result == '+', check) {
            Some(true) => 'u',
            Some(false) => 'h',
            None => '.',
        });
        each.collect()
    }

    #[test]
    fn so_many_in_a_row_change_what_it_is_and_the_first_decides_at_once() {
        let rows = [
            ("a first failure decides", (3, 2), false, "-", "u"),
            ("a first success changes nothing", (3, 2), false, "+", "."),
            ("after it so many are asked for", (3, 2), false, "+---", "...u"),
            ("a success ends the row", (3, 2), false, "+--+--+---", ".........u"),
            ("back after so many successes in a row", (3, 2), false, "-++", "u.h"),
            ("a failure ends that row", (3, 2), false, "-+-++", "u...h"),
            ("of one each the last result is what counts", (1, 1), false, "+-+-", ".uhu"),
            ("what an earlier check has found goes with the first success", (3, 2), true, "+", "h"),
            ("and stays with the first failure", (3, 2), true, "-++", "..h"),
        ];
        for (name, (unhealthy, healthy), fails, results, expected) in rows {
            assert_eq!(course(Row::of(fails), &check(unhealthy, healthy), results), expected, "{name}");
        }
    }
}
