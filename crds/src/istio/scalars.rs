// SPDX-License-Identifier: Apache-2.0
//! Small values that many kinds of Istio share: texts, ports, percentages, decimals, subnets. In protobuf `""` and `0`
//! are absence; here that is `None`. A value that cannot be meant is an error, not a number out of range.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, de};

/// An enum of Istio: unit variants, each with its word. An unknown word is an error that tells the known ones.
macro_rules! words {
    (
        $(#[$meta:meta])*
        $name:ident { $($(#[$own:meta])* $variant:ident = $word:literal $(| $also:literal)*),+ $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {$(
            $(#[$own])*
            $variant,
        )+}

        impl $name {
            /// The value of that word.
            pub fn parse(word: &str) -> Option<Self> {
                match word {
                    $($word $(| $also)* => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// Its word.
            pub fn as_str(self) -> &'static str {
                match self {$(Self::$variant => $word,)+}
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <String as serde::Deserialize>::deserialize(deserializer)?;
                Self::parse(&word).ok_or_else(|| $crate::istio::scalars::not_one_of(&word, &[$($word),+]))
            }
        }
    };
}
pub(super) use words;

/// The error of a word that is none of `known`.
pub(super) fn not_one_of<E: de::Error>(word: &str, known: &[&str]) -> E {
    let shown: String = word.chars().take(40).collect();
    E::custom(format!("{shown:?} is not known here: use {}", known.join(", ")))
}

type MaybeText = Option<String>;

/// A text; `""` is absence.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MaybeText, D::Error> {
    Ok(Some(String::deserialize(deserializer)?).filter(|text| !text.is_empty()))
}

type MaybeNumber = Option<u32>;

/// A limit; 0 is absence.
pub(super) fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MaybeNumber, D::Error> {
    Ok(Some(u32::deserialize(deserializer)?).filter(|limit| *limit > 0))
}

/// A port, 1 to 65535.
pub(super) fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let number = u64::deserialize(deserializer)?;
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    port.ok_or_else(|| de::Error::custom(format!("{number} is no port: use 1 to 65535")))
}

type MaybePort = Option<u16>;

/// A port; 0 is absence.
pub(super) fn maybe_port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MaybePort, D::Error> {
    let number = u64::deserialize(deserializer)?;
    let port = u16::try_from(number).map_err(|_| de::Error::custom(format!("{number} is no port: use 1 to 65535")))?;
    Ok(Some(port).filter(|port| *port > 0))
}

/// `PortSelector`.
#[derive(Deserialize)]
struct PortSelector {
    #[serde(deserialize_with = "port")]
    number: u16,
}

/// The port of a `PortSelector`.
pub(super) fn selected<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    Ok(PortSelector::deserialize(deserializer)?.number)
}

/// The port of a `PortSelector` that need not be given.
pub(super) fn maybe_selected<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MaybePort, D::Error> {
    selected(deserializer).map(Some)
}

/// A number that is not negative, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Decimal(u64);

impl Decimal {
    /// A whole number.
    pub fn whole(number: u32) -> Self {
        Self(u64::from(number) * 1_000_000)
    }

    /// In millionths.
    pub fn millionths(self) -> u64 {
        self.0
    }

    /// Digits beyond the sixth after the point are cut off. `None` below zero and beyond 2^43.
    fn of(number: f64) -> Option<Self> {
        // Display writes the shortest decimal that is the number, never with an exponent.
        let text = number.to_string();
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let fraction: u64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
        let whole: u64 = if whole == "-0" && fraction == 0 { 0 } else { whole.parse().ok()? };
        whole.checked_mul(1_000_000)?.checked_add(fraction).map(Self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        Self::of(number).ok_or_else(|| de::Error::custom(format!("{number} is out of range: use 0 or more")))
    }
}

/// A share of all requests, as Istio's `Percent` (`value: 0.1` is one of a thousand).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Percent(u32);

impl Percent {
    /// Every request.
    pub const ALL: Self = Self(1_000_000);

    /// A whole percentage; more than 100 is 100.
    pub fn whole(percent: u32) -> Self {
        Self(percent.min(100) * 10_000)
    }

    /// Requests of a million.
    pub fn per_million(self) -> u32 {
        self.0
    }
}

/// `Percent` of the API.
#[derive(Deserialize)]
struct RawPercent {
    #[serde(default)]
    value: Share,
}

#[derive(Default)]
struct Share(Percent);

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        let share = Decimal::of(number).and_then(|it| u32::try_from(it.0 / 100).ok());
        // `Percent.value`: "neither 0.0, nor in range [0.0001, 100.0]" is what the webhook says.
        let share = share.filter(|share| *share <= Percent::ALL.0 && (*share > 0 || number == 0.0));
        let why = || de::Error::custom(format!("{number} is no percentage: use 0, or 0.0001 to 100"));
        share.map(|share| Self(Percent(share))).ok_or_else(why)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(RawPercent::deserialize(deserializer)?.value.0)
    }
}

/// An address, or all that begin like it (`10.0.0.0/8`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subnet {
    /// As written.
    pub address: IpAddr,
    /// Leading bits that count: 32 or 128 of a single address.
    pub prefix: u8,
}

impl Subnet {
    /// Reads `address` or `address/bits`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let is_plain =
            |bits: &str| bits == "0" || (bits.bytes().all(|it| it.is_ascii_digit()) && !bits.starts_with('0'));
        let prefix = match bits {
            None => whole,
            Some(bits) => bits.parse().ok().filter(|prefix| *prefix <= whole && is_plain(bits))?,
        };
        Some(Self { address, prefix })
    }

    /// Whether it is one address.
    pub fn is_single(self) -> bool {
        self.prefix == if self.address.is_ipv4() { 32 } else { 128 }
    }
}

impl<'de> Deserialize<'de> for Subnet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            let shown: String = text.chars().take(60).collect();
            de::Error::custom(format!("{shown:?} is neither an IP address nor a subnet like 10.0.0.0/8"))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_percentage_is_a_share_of_a_million() {
        let read = |value| serde_json::from_value::<Percent>(json!({"value": value})).map(Percent::per_million);
        for (value, share) in [
            (json!(0), 0),
            (json!(100), 1_000_000),
            (json!(0.0001), 1),
            (json!(0.57), 5_700),
            (json!(12.345_678), 123_456),
        ] {
            assert_eq!(read(value.clone()).unwrap(), share, "{value}");
        }
        for bad in [json!(-1), json!(100.0001), json!(0.000_09), json!(1e300), json!("5")] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
        assert_eq!(serde_json::from_value::<Percent>(json!({})).unwrap(), Percent::default());
        assert_eq!((Percent::whole(15).per_million(), Percent::whole(200)), (150_000, Percent::ALL));
    }

    #[test]
    fn decimals_keep_six_places() {
        let read = |value| serde_json::from_value::<Decimal>(value).map(Decimal::millionths);
        for (value, millionths) in
            [(json!(0), 0), (json!(-0.0), 0), (json!(1.5), 1_500_000), (json!(20), 20_000_000), (json!(1e-7), 0)]
        {
            assert_eq!(read(value.clone()).unwrap(), millionths, "{value}");
        }
        for bad in [json!(-1), json!(-0.5), json!(1e300), json!(true)] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
        assert_eq!(Decimal::whole(20).millionths(), 20_000_000);
    }

    #[test]
    fn subnets_are_addresses_with_bits() {
        for (text, prefix) in [("10.0.0.1", 32), ("10.0.0.0/8", 8), ("::1", 128), ("2001:db8::/0", 0)] {
            assert_eq!(Subnet::parse(text).map(|it| it.prefix), Some(prefix), "{text}");
        }
        for bad in
            ["", "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/08", "a/8", "1.2.3.4/8/8"]
        {
            assert_eq!(Subnet::parse(bad), None, "{bad}");
        }
        assert!(Subnet::parse("10.0.0.1").unwrap().is_single() && !Subnet::parse("10.0.0.0/8").unwrap().is_single());
    }
}
