//! A trap on purpose, for the chaos suite: nothing that Weir does provokes one, so nothing else could show what comes of it.
//! Only a build with the feature `trap` has this, and no release has that feature.

use memchr::memmem;

/// What stands in the prompt that ends the virtual machine.
const WORD: &[u8] = b"[[trap]]";

/// Ends the virtual machine of this worker if the word is there.
pub fn spring(body: &[u8]) {
    if memmem::find(body, WORD).is_some() {
        std::process::abort();
    }
}
