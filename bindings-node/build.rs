//! What an addon has to be linked with.

fn main() {
    napi_build::setup();
}
