//! A linear model over pieces of host names. Its weights are a file that `examples/train_hosts.rs` makes anew from data that
//! anybody can get (docs/check.md); what is in it was never looked up, only added together.

use super::name::Host;

/// Weights there are, as a power of two: few pieces share one.
pub const BITS: u32 = 18;
/// Longest piece.
const PIECE_MAX: usize = 6;
/// Letters of a name that are cut into pieces: honest names have under 60.
const LETTERS_MAX: usize = 96;
/// First bytes of the file.
const MAGIC: &[u8] = b"muster-hosts-1\n";

/// The model: thresholds of the two strata, and the weights.
pub struct Model {
    pub strata: [Stratum; 2],
    /// What a weight of 1 stands for.
    pub scale: f32,
    pub weights: Vec<i8>,
}

/// Names of their own, or names on free hosting: they have little in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stratum {
    /// From here: 1 % of honest names.
    pub warning: f32,
    /// From here: 0.1 %.
    pub strong: f32,
}

/// What the model says of a name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Said {
    /// 0 to 1; 0.5 is the frozen threshold of the name's stratum.
    pub score: f64,
    pub over: bool,
    pub strong: bool,
}

impl Model {
    /// Reads what `to_bytes` wrote.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let mut floats = [0f32; 5];
        let (head, weights) = rest.split_at_checked(4 * floats.len())?;
        for (float, chunk) in floats.iter_mut().zip(head.chunks_exact(4)) {
            *float = f32::from_le_bytes(chunk.try_into().ok()?);
        }
        let [scale, own, own_strong, free, free_strong] = floats;
        (weights.len() == 1 << BITS).then(|| Self {
            strata: [
                Stratum { warning: own, strong: own_strong },
                Stratum { warning: free, strong: free_strong },
            ],
            scale,
            weights: weights.iter().map(|b| b.cast_signed()).collect(),
        })
    }

    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let [own, free] = self.strata;
        let mut bytes = MAGIC.to_vec();
        for float in [self.scale, own.warning, own.strong, free.warning, free.strong] {
            bytes.extend_from_slice(&float.to_le_bytes());
        }
        bytes.extend(self.weights.iter().map(|w| w.cast_unsigned()));
        bytes
    }

    /// The sum before it is made a score.
    #[must_use]
    pub fn sum(&self, host: &Host) -> f32 {
        let (mut sum, mut pieces) = (0i32, 0u16);
        pieces_of(host, |at| {
            sum += self.weights.get(at as usize).map_or(0, |w| i32::from(*w));
            pieces += 1;
        });
        let sum = sum as f32;
        sum * self.scale / norm(pieces)
    }

    #[must_use]
    pub fn say(&self, host: &Host) -> Said {
        let [own, free] = self.strata;
        let stratum = if host.free { free } else { own };
        let sum = self.sum(host);
        let score = 1.0 / (1.0 + f64::from(stratum.warning - sum).exp());
        Said { score, over: sum >= stratum.warning, strong: sum >= stratum.strong }
    }
}

/// Long names have more pieces; without this they would be scored by their length.
#[must_use]
pub fn norm(pieces: u16) -> f32 {
    f32::from(pieces.max(1)).sqrt()
}

/// Each piece of the name, as the number of its weight.
pub fn pieces_of(host: &Host, mut each: impl FnMut(u32)) {
    let stem = super::name::cut(&host.stem, LETTERS_MAX).as_bytes();
    let class = if host.free { 2 } else { 1 };
    let suffix = hash(host.suffix.bytes(), 11);
    each(slot(hash([class], 3)));
    each(slot(suffix));
    // Every run of 2 to 6 letters, the ends marked.
    let marked = || std::iter::once(b'^').chain(stem.iter().copied()).chain(std::iter::once(b'$'));
    for start in 0..stem.len() + 2 {
        let mut h = 0x811c_9dc5;
        for (n, byte) in marked().skip(start).take(PIECE_MAX).enumerate() {
            h = mix(h, byte);
            if n > 0 {
                each(slot(h));
            }
        }
    }
    // Words between hyphens, dots and digits; each with the suffix, and with its neighbour.
    let mut before = 0;
    let mut words = 0u8;
    for word in stem.split(|b| !b.is_ascii_alphabetic()).filter(|w| w.len() > 1) {
        let h = hash(word.iter().copied(), 17);
        each(slot(h));
        each(slot(h ^ suffix.rotate_left(7)));
        if before != 0 {
            each(slot(h ^ before));
        }
        before = h.rotate_left(11);
        words = words.saturating_add(1);
    }
    // Its shape.
    let count =
        |test: fn(&u8) -> bool| u8::try_from(stem.iter().filter(|b| test(b)).count()).unwrap_or(u8::MAX);
    let hyphens = count(|b| *b == b'-');
    let dots = count(|b| *b == b'.');
    let digits = count(u8::is_ascii_digit);
    let length = u8::try_from(stem.len() / 3).unwrap_or(u8::MAX);
    for (kind, value) in
        [(1, hyphens.min(5)), (2, dots.min(4)), (3, digits.min(6)), (4, length.min(16)), (5, words.min(6))]
    {
        each(slot(hash([kind, value, class], 23)));
        each(slot(hash([kind, value], 29) ^ suffix));
    }
    each(slot(hash([hyphens.min(3), dots.min(3), digits.min(3), u8::from(host.looks_alike)], 31)));
    if host.looks_alike {
        each(slot(hash([1], 37)));
    }
}

fn hash(bytes: impl IntoIterator<Item = u8>, seed: u32) -> u32 {
    bytes.into_iter().fold(0x9e37_79b9 ^ seed, mix)
}

fn mix(h: u32, byte: u8) -> u32 {
    (h ^ u32::from(byte)).wrapping_mul(0x0100_0193)
}

/// The upper bits of a last mixing: the lower ones of FNV are poor.
fn slot(h: u32) -> u32 {
    let h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    let h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
    h >> (32 - BITS)
}
