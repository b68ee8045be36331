//! Which characters are seen as themselves: names are read by people, who must be able to tell two
//! apart, and they are printed, where nothing in them may act.

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};

/// Joins or parts its neighbours, or chooses the picture of an emoji. Names of people need them
/// (Persian and many scripts of India do not spell without; The Unicode Standard, 23.2), and phones
/// write them.
const JOINERS: [char; 3] = ['\u{200c}', '\u{200d}', '\u{fe0f}'];

/// Whether a character is not seen as itself: it acts on a terminal, turns the direction of writing,
/// begins a line, or shows nothing at all. These are the control characters, the separators of lines
/// and paragraphs, what a font that does not know it passes over (`Default_Ignorable_Code_Point` of
/// the Unicode Character Database), and two kinds that this property leaves out: the marks around
/// annotations and the braille pattern without a dot.
pub fn hides(c: char) -> bool {
    use GeneralCategory::{Control, LineSeparator, ParagraphSeparator};
    if matches!(c, ' '..='~') {
        return false;
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    matches!(category, Control | LineSeparator | ParagraphSeparator)
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{2800}')
}

/// Whether a character may stand in an id that somebody chooses: ids are compared, so two that look
/// alike must not differ in what nobody sees.
pub fn stands_in_id(c: char) -> bool {
    !hides(c)
}

/// Whether a character may stand in a name that is only shown: whatever is seen, and what
/// joins letters or chooses the picture of an emoji.
pub fn stands_in_name(c: char) -> bool {
    !hides(c) || JOINERS.contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_known() {
        let ranges = [
            '\0'..='\u{1f}',
            '\u{7f}'..='\u{9f}',
            '\u{ad}'..='\u{ad}',
            '\u{34f}'..='\u{34f}',
            '\u{61c}'..='\u{61c}',
            '\u{115f}'..='\u{1160}',
            '\u{17b4}'..='\u{17b5}',
            '\u{180b}'..='\u{180f}',
            '\u{200b}'..='\u{200f}',
            '\u{2028}'..='\u{202e}',
            '\u{2060}'..='\u{206f}',
            '\u{2800}'..='\u{2800}',
            '\u{3164}'..='\u{3164}',
            '\u{fe00}'..='\u{fe0f}',
            '\u{feff}'..='\u{feff}',
            '\u{ffa0}'..='\u{ffa0}',
            '\u{fff9}'..='\u{fffb}',
            '\u{1bca0}'..='\u{1bca3}',
            '\u{1d173}'..='\u{1d17a}',
            '\u{e0000}'..='\u{e01ef}',
        ];
        for c in ranges.into_iter().flatten() {
            assert!(hides(c) && !stands_in_id(c), "{c:?}");
            assert_eq!(stands_in_name(c), JOINERS.contains(&c), "{c:?}");
        }
    }

    #[test]
    fn what_is_seen_is_left_alone() {
        for c in " ~aé\u{a0}ß日本語한글हिन्दीفارسیไทย🦊👩❤–…█▏\u{fffd}＝".chars()
        {
            assert!(!hides(c) && stands_in_name(c), "{c:?}");
        }
    }
}
