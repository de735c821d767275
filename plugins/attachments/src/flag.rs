//! What is to be said of a part besides what it is.

/// One word in the manifest and in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// Its encoding was damaged, or its end is missing.
    Damaged,
    /// Nobody here can read it.
    Encrypted,
    /// It is not all there.
    Truncated,
    /// It stood inside of another part.
    Nested,
    /// It was signed; the signature was not looked at.
    Signed,
    /// It is a signature.
    Signature,
    /// What was in it was taken out.
    Opened,
    /// It could not be opened.
    Unopened,
    /// It is made to be more than anybody can hold.
    Bomb,
    /// Its name is a path, or hides what it is.
    UnsafeName,
    /// Its content shows another type than was declared.
    TypeDiffers,
    /// The text shows it.
    Decoration,
    /// One piece of a message that was cut, RFC 2046 section 5.2.2.
    Partial,
    /// It lies elsewhere, RFC 2046 section 5.2.3; nothing is fetched.
    External,
    /// A link or another thing that is no file.
    Special,
}

impl Flag {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Encrypted => "encrypted",
            Self::Truncated => "truncated",
            Self::Nested => "nested",
            Self::Signed => "signed",
            Self::Signature => "signature",
            Self::Opened => "opened",
            Self::Unopened => "unopened",
            Self::Bomb => "bomb",
            Self::UnsafeName => "unsafe-name",
            Self::TypeDiffers => "type-differs",
            Self::Decoration => "decoration",
            Self::Partial => "partial",
            Self::External => "external",
            Self::Special => "special",
        }
    }
}
