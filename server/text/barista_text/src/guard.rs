//! Panics of the library become error texts; none crosses the C interface.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{catch_unwind, set_hook, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `body`; a panic in it gives an error that names the place. The panic hook is ours so that a panic writes nothing
/// to standard error: its message may quote user text, which belongs into no log.
pub fn guard<T>(body: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        set_hook(Box::new(|info| {
            let place = info.location().map(|l| format!("{}:{}", file_name(l.file()), l.line())).unwrap_or_default();
            PLACE.with(|slot| slot.replace(place));
        }))
    });
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        let place = PLACE.with(|slot| slot.take());
        Err(format!("the tokenizer library panicked at {place}: {}", text_of(&*payload)))
    })
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_place_and_message() {
        let error = guard::<()>(|| panic!("index {}", 7)).unwrap_err();
        assert!(error.contains("guard.rs:") && error.ends_with("index 7"), "{error}");
        assert_eq!(guard(|| Ok(1)), Ok(1));
    }
}
