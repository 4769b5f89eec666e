// SPDX-License-Identifier: Apache-2.0
//! Where the endpoints of a backend come from: a list, and what was answered for the names on it. Never asks anybody.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use torana_ir::{Endpoint, Endpoints, NamedEndpoint};

/// Addresses of all names of a backend together: what somebody's DNS says must not fill the memory.
const MOST: usize = 16_384;

/// Addresses of one name, in the order of the answer.
pub type Addresses = Arc<[IpAddr]>;

/// A list, with the last good answer for each of its names.
#[derive(Debug, Clone)]
pub(super) struct Source {
    list: Arc<Endpoints>,
    answers: BTreeMap<String, Addresses>,
}

impl Source {
    /// A list of which nothing was answered yet.
    pub(super) fn new(list: Arc<Endpoints>) -> Self {
        Self { list, answers: BTreeMap::new() }
    }

    /// The list.
    pub(super) fn list(&self) -> &Arc<Endpoints> {
        &self.list
    }

    /// Whether it comes from that list.
    pub(super) fn is(&self, list: &Arc<Endpoints>) -> bool {
        Arc::ptr_eq(&self.list, list) || *self.list == **list
    }

    /// Another list: what was answered stays for names that it has too.
    pub(super) fn turn(&mut self, list: Arc<Endpoints>) {
        let mut before = std::mem::take(&mut self.answers);
        self.answers = list.names().filter_map(|name| before.remove_entry(&name.host)).collect();
        self.list = list;
    }

    /// Takes what is known of its names; of what nothing is known the last good answer stays. Whether that is news.
    pub(super) fn learn(&mut self, known: impl Fn(&str) -> Option<Addresses>) -> bool {
        let mut is_news = false;
        for name in self.list.names() {
            let Some(answer) = known(&name.host).filter(|answer| !answer.is_empty()) else { continue };
            if self.answers.get(&name.host) != Some(&answer) {
                self.answers.insert(name.host.clone(), answer);
                is_news = true;
            }
        }
        is_news
    }

    /// All endpoints. Of those at one address the first counts.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = Endpoint> {
        let resolved = self.list.names().flat_map(|name| self.of(name)).take(MOST);
        self.list.addresses().iter().cloned().chain(resolved)
    }

    fn of(&self, name: &NamedEndpoint) -> Vec<Endpoint> {
        let Some(answer) = self.answers.get(&name.host) else { return Vec::new() };
        let may_be = |address: &&IpAddr| !(name.no_loopback && address.to_canonical().is_loopback());
        if name.only_first {
            // Which of two questions is answered first, the one for IPv4 or the other, means nothing.
            let mut all = answer.iter().filter(may_be);
            let first = all.clone().find(|address| address.is_ipv4()).or_else(|| all.next());
            return first.map(|address| name.at(*address)).into_iter().collect();
        }
        // A server that answers in another order each time has not changed anything.
        let mut addresses: Vec<IpAddr> = answer.iter().filter(may_be).copied().collect();
        addresses.sort_unstable();
        addresses.into_iter().map(|address| name.at(address)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use torana_ir::BackendKey;

    use super::*;

    fn name(host: &str, port: u16) -> NamedEndpoint {
        NamedEndpoint::new(host, port)
    }

    fn list(names: &[NamedEndpoint], addresses: &[&str]) -> Arc<Endpoints> {
        let (first, others) = names.split_first().unwrap();
        let addresses = addresses.iter().map(|it| Endpoint::new(it.parse().unwrap(), true)).collect();
        let backend = BackendKey::tcp("n", "b", 80);
        Arc::new(Endpoints::Dns { backend, first: first.clone(), others: others.to_vec(), addresses })
    }

    fn answer(addresses: &[&str]) -> Addresses {
        addresses.iter().map(|it| it.parse::<IpAddr>().unwrap()).collect()
    }

    fn shown(source: &Source) -> Vec<String> {
        source.endpoints().map(|it| it.address.to_string()).collect()
    }

    #[test]
    fn addresses_of_the_proxy_itself_are_left_out_where_that_is_asked() {
        let answers = answer(&["127.0.0.1", "::ffff:127.0.0.2", "::1", "10.0.0.1"]);
        for (only_first, expected) in [(false, &["10.0.0.1:80"][..]), (true, &["10.0.0.1:80"])] {
            let named = NamedEndpoint { only_first, ..name("a.com", 80) };
            let all = Arc::unwrap_or_clone(list(&[named], &["127.0.0.1:1", "10.0.0.2:1"]));
            let mut source = Source::new(Arc::new(all.clone().without_loopback()));
            source.learn(|_| Some(Arc::clone(&answers)));
            assert_eq!(shown(&source), [&["10.0.0.2:1"], expected].concat());
            let mut open = Source::new(Arc::new(all));
            open.learn(|_| Some(Arc::clone(&answers)));
            assert!(shown(&open).contains(&"127.0.0.1:80".to_owned()), "{only_first}");
        }
    }

    #[test]
    fn all_names_and_addresses_are_endpoints_and_one_that_fails_takes_nothing_from_others() {
        let mut source = Source::new(list(&[name("a.com", 80), name("b.com", 81)], &["10.0.0.9:82"]));
        assert_eq!(shown(&source), ["10.0.0.9:82"]);
        assert!(source.learn(|name| (name == "b.com").then(|| answer(&["10.0.0.3", "10.0.0.2"]))));
        assert_eq!(shown(&source), ["10.0.0.9:82", "10.0.0.2:81", "10.0.0.3:81"]);
        assert!(source.learn(|name| (name == "a.com").then(|| answer(&["10.0.0.1"]))));
        assert!(!source.learn(|name| (name == "a.com").then(|| answer(&["10.0.0.1"]))), "it is known");
        assert!(!source.learn(|_| Some(answer(&[]))), "the last good answer stays");
        assert_eq!(shown(&source), ["10.0.0.9:82", "10.0.0.1:80", "10.0.0.2:81", "10.0.0.3:81"]);
    }

    #[test]
    fn an_address_weighs_and_stands_as_its_name_does() {
        let heavy = NamedEndpoint {
            weight: NonZeroU32::new(7).unwrap(),
            locality: "r/z".to_owned().into(),
            ..name("a.com", 80)
        };
        let mut source = Source::new(list(&[heavy, name("b.com", 80)], &[]));
        source.learn(|_| Some(answer(&["10.0.0.1"])));
        let found: Vec<_> = source.endpoints().map(|it| (it.weight.get(), it.locality.as_str().to_owned())).collect();
        assert_eq!(found, [(7, "r/z".to_owned()), (1, String::new())], "whoever lists them takes the first");
    }

    #[test]
    fn of_a_name_whose_first_address_is_used_the_others_are_not() {
        let mut source = Source::new(list(&[NamedEndpoint { only_first: true, ..name("a.com", 80) }], &[]));
        source.learn(|_| Some(answer(&["::1", "10.0.0.2", "10.0.0.1"])));
        assert_eq!(shown(&source), ["10.0.0.2:80"]);
        source.learn(|_| Some(answer(&["::2", "::1"])));
        assert_eq!(shown(&source), ["[::2]:80"]);
    }

    #[test]
    fn answers_stay_for_names_that_stay() {
        let mut source = Source::new(list(&[name("a.com", 80), name("b.com", 80)], &[]));
        source.learn(|name| Some(answer(if name == "a.com" { &["10.0.0.1"] } else { &["10.0.0.2"] })));
        source.turn(list(&[name("c.com", 80), name("b.com", 8080)], &[]));
        assert_eq!(shown(&source), ["10.0.0.2:8080"]);
        source.turn(list(&[name("a.com", 80)], &[]));
        assert_eq!(shown(&source), [""; 0], "what was forgotten is asked for again");
    }

    #[test]
    fn no_number_of_answers_fills_the_memory() {
        let names: Vec<_> = (0..20).map(|at| name(&format!("{at}.com"), 80)).collect();
        let mut source = Source::new(list(&names, &["10.0.0.9:82"]));
        let many: Addresses = (0..1024u32).map(|at| IpAddr::from(at.to_be_bytes())).collect();
        source.learn(|_| Some(Arc::clone(&many)));
        assert_eq!(source.endpoints().count(), MOST + 1);
    }
}
