//! The texts about people: their second factor, sessions and passwords.
//!
//! Nothing here is about keys.

use super::texts;

texts! {
    /// Showing a code once more.
    Verify {
        title: "Confirm that it is you",
        about: "What comes next changes other people's rights, or cannot be undone. Enter a code of your second factor; it \
                counts for five minutes.",
        action: "Confirm",
    }
}
