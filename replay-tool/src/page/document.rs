//! The page: markup, style, data and script, under a policy that forbids every request.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

use super::model::Page;

const MARKUP: &str = include_str!("assets/page.html");
const STYLE: &str = include_str!("assets/page.css");
/// The script's files in their order: they share one scope.
const SCRIPT: [&str; 9] = [
    include_str!("assets/time.js"),
    include_str!("assets/history.js"),
    include_str!("assets/view.js"),
    include_str!("assets/draw.js"),
    include_str!("assets/overview.js"),
    include_str!("assets/lanes.js"),
    include_str!("assets/detail.js"),
    include_str!("assets/print.js"),
    include_str!("assets/start.js"),
];

/// Writes the page.
///
/// # Errors
///
/// What the writer says.
pub fn write(page: &Page, to: &mut dyn Write) -> io::Result<()> {
    let script = script();
    let mut rest = MARKUP;
    while let Some((text, behind)) = rest.split_once("{{") {
        to.write_all(text.as_bytes())?;
        let Some((mark, behind)) = behind.split_once("}}") else { break };
        match mark {
            "policy" => to.write_all(policy(&script).as_bytes())?,
            "style" => to.write_all(STYLE.as_bytes())?,
            "script" => to.write_all(script.as_bytes())?,
            "data" => serde_json::to_writer(&mut InElement(to), page)?,
            _ => return Err(io::Error::other(format!("the markup has an unknown mark {mark:?}"))),
        }
        rest = behind;
    }
    to.write_all(rest.as_bytes())
}

fn script() -> String {
    format!("'use strict';\n(() => {{\n{}}})();\n", SCRIPT.concat())
}

/// What the browser is to allow: this style and this script. Nothing can be fetched, sent, framed or evaluated, and no text
/// can be taken for markup.
fn policy(script: &str) -> String {
    let (style, script) = (hash(STYLE), hash(script));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'"
    )
}

fn hash(text: &str) -> String {
    base64(&Sha256::digest(text.as_bytes()))
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let sextet = (bits >> (18 - 6 * place)) as usize & 63;
            text.push(if place <= chunk.len() { char::from(ALPHABET[sextet]) } else { '=' });
        }
    }
    text
}

/// JSON within an element: `<`, `>` and `&` stand in its strings only, and are written as their escapes, so that nothing
/// can end the element or begin a comment in it.
struct InElement<'a>(&'a mut dyn Write);

impl Write for InElement<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'<' | b'>' | b'&')) {
            self.0.write_all(&rest[..at])?;
            write!(self.0, "\\u{:04x}", rest[at])?;
            rest = &rest[at + 1..];
        }
        self.0.write_all(rest)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (text, encoded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("\u{7f}?>", "fz8+")]
        {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
        assert_eq!(hash(""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }

    #[test]
    fn json_cannot_end_its_element() {
        let value = serde_json::json!({"</script><!--": "a&b<script>>", "é": "\"<"});
        let mut written = Vec::new();
        serde_json::to_writer(InElement(&mut written), &value).unwrap();
        let text = String::from_utf8(written).unwrap();
        assert!(!text.contains(['<', '>', '&']), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn script_and_style_cannot_end_their_elements_and_ask_for_nothing() {
        let script = script();
        for word in ["</script", "<!--", "<script"] {
            assert!(!script.contains(word), "{word}");
        }
        assert!(!STYLE.contains("</style"));
        for word in ["url(", "@import", "http:", "https:"] {
            assert!(!STYLE.contains(word), "{word}");
        }
        // Recorded text gets into the page as text only; the policy would stop these as well.
        for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "fetch(", "import("] {
            assert!(!script.contains(word), "{word}");
        }
    }
}
