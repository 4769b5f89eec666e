// SPDX-License-Identifier: Apache-2.0
//! Numbers that look random and are the same in every process: all proxies of a fleet send a key to the same endpoint.

use std::hash::Hasher as _;
use std::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher13;

/// Another number for each number, none twice (SplitMix64, Steele et al. 2014).
pub(super) fn scrambled(number: u64) -> u64 {
    let mut it = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}

/// SipHash-1-3 without a key, which its authors will not change.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Of an address without its port; IPv4 is the same however it is written.
pub(super) fn hash_ip(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => hash(&ip.octets()),
        IpAddr::V6(ip) => hash(&ip.octets()),
    }
}

/// Of an endpoint.
pub(super) fn hash_address(address: SocketAddr) -> u64 {
    scrambled(hash_ip(address.ip()) ^ u64::from(address.port()))
}

/// A number below `count` from 64 random bits; `None` if there is none.
pub(super) fn below(random: u64, count: u64) -> Option<u64> {
    (count > 0).then(|| ((u128::from(random) * u128::from(count)) >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_same_for_ever() {
        // A proxy of another version must agree. The first is what SplitMix64 begins with for seed 0, the others were
        // reckoned by another program.
        assert_eq!(scrambled(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(hash(b"torana"), 0x096b_56fb_f377_0db1);
        assert_eq!(hash(b"abcdefghij"), 0xf47c_2648_06c4_0ff1);
        assert_eq!(hash_ip([10, 0, 0, 1].into()), 0xa615_a907_a835_a61e);
        assert_eq!(hash_ip([10, 0, 0, 1].into()), hash_ip("::ffff:10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_number_is_below_the_count_and_reaches_both_ends() {
        assert_eq!(
            [below(0, 7), below(u64::MAX, 7), below(u64::MAX, 1), below(5, 0)],
            [Some(0), Some(6), Some(0), None]
        );
        assert_eq!(below(u64::MAX, u64::MAX), Some(u64::MAX - 1));
    }
}
