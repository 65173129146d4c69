//! JSON, as much of it as reports need: written, never read.

use std::fmt::Write;

/// A value.
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(u64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

impl Json {
    pub(super) fn text(s: impl Into<String>) -> Self {
        Self::Text(s.into())
    }

    pub(super) fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Self::List(items.into_iter().collect())
    }

    pub(super) fn texts(items: &[impl AsRef<str>]) -> Self {
        Self::list(items.iter().map(|text| Self::text(text.as_ref())))
    }

    pub(super) fn or_null(value: Option<impl Into<String>>) -> Self {
        value.map_or(Self::Null, Self::text)
    }

    /// Indented by two spaces a level, as Go's MarshalIndent does it.
    pub(super) fn render(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out.push('\n');
        out
    }

    fn write(&self, out: &mut String, depth: usize) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Self::Number(n) => out.push_str(&n.to_string()),
            Self::Text(s) => quote(s, out),
            Self::List(items) => {
                enclosed(out, depth, ['[', ']'], items.iter(), |out, item| item.write(out, depth + 1));
            }
            Self::Object(fields) => enclosed(out, depth, ['{', '}'], fields.iter(), |out, (key, value)| {
                quote(key, out);
                out.push_str(": ");
                value.write(out, depth + 1);
            }),
        }
    }
}

fn enclosed<T>(
    out: &mut String,
    depth: usize,
    [open, close]: [char; 2],
    items: impl ExactSizeIterator<Item = T>,
    each: impl Fn(&mut String, T),
) {
    out.push(open);
    let is_empty = items.len() == 0;
    for (i, item) in items.enumerate() {
        out.push_str(if i == 0 { "\n" } else { ",\n" });
        out.push_str(&"  ".repeat(depth + 1));
        each(out, item);
    }
    if !is_empty {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    }
    out.push(close);
}

fn quote(s: &str, out: &mut String) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                // Writing to a String can't fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_and_levels_indented() {
        let value = Json::Object(vec![
            ("a", Json::list([Json::Number(1), Json::Bool(false), Json::Null])),
            ("b", Json::text("q\"\\\n\u{7f}é")),
            ("c", Json::list([])),
        ]);
        assert_eq!(
            value.render(),
            "{\n  \"a\": [\n    1,\n    false,\n    null\n  ],\n  \"b\": \"q\\\"\\\\\\u000a\\u007fé\",\n  \"c\": []\n}\n"
        );
    }
}
