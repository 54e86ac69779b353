//! Which ASCII letters a person reads in a name. The Unicode table of confusables folds a tenth of what crypto scams use:
//! most of their letters are Latin ones with marks, or Latin letters with a bar.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Latin and other letters that neither have a mark that comes off nor stand in the table of confusables.
const EXTRA: &[(char, &str)] = &[
    ('ł', "l"),
    ('ø', "o"),
    ('đ', "d"),
    ('ı', "i"),
    ('ŧ', "t"),
    ('ħ', "h"),
    ('ƀ', "b"),
    ('ɓ', "b"),
    ('ƈ', "c"),
    ('ȼ', "c"),
    ('ɗ', "d"),
    ('ɖ', "d"),
    ('ɇ', "e"),
    ('ə', "e"),
    ('ɛ', "e"),
    ('ƒ', "f"),
    ('ɠ', "g"),
    ('ǥ', "g"),
    ('ɦ', "h"),
    ('ɨ', "i"),
    ('ɩ', "i"),
    ('ɉ', "j"),
    ('ƙ', "k"),
    ('ĸ', "k"),
    ('κ', "k"),
    ('ɫ', "l"),
    ('ƚ', "l"),
    ('ɱ', "m"),
    ('ɲ', "n"),
    ('ŋ', "n"),
    ('ƞ', "n"),
    ('η', "n"),
    ('ɵ', "o"),
    ('ơ', "o"),
    ('ƥ', "p"),
    ('ɋ', "q"),
    ('ɍ', "r"),
    ('ɽ', "r"),
    ('ʂ', "s"),
    ('ȿ', "s"),
    ('ß', "ss"),
    ('ƭ', "t"),
    ('ʈ', "t"),
    ('ŧ', "t"),
    ('ʉ', "u"),
    ('ư', "u"),
    ('ʋ', "v"),
    ('ⱳ', "w"),
    ('ω', "w"),
    ('ɯ', "w"),
    ('ƴ', "y"),
    ('ɏ', "y"),
    ('ƶ', "z"),
    ('ȥ', "z"),
    ('ʐ', "z"),
    ('æ', "ae"),
    ('œ', "oe"),
    ('þ', "p"),
    ('ð', "d"),
    ('α', "a"),
    ('β', "b"),
    ('ε', "e"),
    ('τ', "t"),
    ('υ', "u"),
    ('χ', "x"),
    ('м', "m"),
    ('т', "t"),
    ('к', "k"),
    ('н', "h"),
    ('в', "b"),
    ('п', "n"),
    ('и', "u"),
    ('ь', "b"),
    ('ɑ', "a"),
    ('ʌ', "a"),
    ('ɡ', "g"),
];

/// Folds all that is not ASCII; what nothing is known of stays.
#[must_use]
pub fn fold(name: &str) -> String {
    let mut folded = String::with_capacity(name.len());
    for character in name.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase) {
        if character.is_ascii() {
            folded.push(character);
        } else if let Some((_, letters)) = EXTRA.iter().find(|(extra, _)| *extra == character) {
            folded.push_str(letters);
        } else {
            let mut buffer = [0; 4];
            let skeleton = unicode_security::skeleton(character.encode_utf8(&mut buffer));
            folded.extend(skeleton.filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase));
        }
    }
    folded
}

/// Digits and pairs read as letters: `rnetamask`, `c0inbase`. Only for comparing with brands: it hurts honest names.
#[must_use]
pub fn read_as_letters(name: &str) -> String {
    if !name.contains(['0', '1', '3', '4', '5', '7', '8', 'r', 'v']) {
        return name.to_owned();
    }
    let read: String = name
        .chars()
        .map(|c| match c {
            '0' => 'o',
            '1' => 'l',
            '3' => 'e',
            '4' => 'a',
            '5' => 's',
            '7' => 't',
            '8' => 'b',
            other => other,
        })
        .collect();
    read.replace("rn", "m").replace("vv", "w")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: &str) {
        assert_eq!(fold(name), expected, "{name}");
    }

    #[test]
    fn names_fold_to_what_is_read() {
        check("mėtąmàśk", "metamask");
        check("bıŧłø", "bitlo");
        check("аррӏе", "apple");
        check("ｕｎｉｓｗａｐ", "uniswap");
        check("日本", "日本");
        assert_eq!(read_as_letters("rnetama5k"), "metamask");
    }
}
