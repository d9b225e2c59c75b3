//! Opens nodes, PMDs and clients, with options that may be wrong.

use super::*;

impl World {
    /// Opens a node with options that may be anything.
    pub(super) fn open_node(&mut self, input: &mut Input<'_>) {
        let valid = self.may_be_slow(input);
        let mut options = self.node_options();
        let (alias, id) = (Text::read(input), Text::read(input));
        let meta = payload(input);
        let mut wrong = false;
        // Time is what a sequence does not have.
        (options.start_timeout_ms, options.request_timeout_ms) = (1_000, 1_000);
        for _ in 0..input.byte() % 4 {
            let value = input.extreme();
            match input.byte() % 20 {
                0 => options.alias = alias.pointer(),
                1 => options.node_id = id.pointer(),
                2 => (options.meta, options.meta_len) = (meta.as_ptr().cast(), meta.len()),
                3 => options.meta_len = 0,
                4 => options.mailbox_messages_max = value,
                5 => options.mailbox_bytes_max = value,
                6 => options.queue_bytes_max = value,
                7 => options.frame_bytes_max = value,
                8 => options.frame_deadline_ms = value,
                9 => options.pmd_auto_shutdown_ms = value,
                10 => options.heartbeat_interval_ms = value,
                11 => options.keepalive_idle_ms = value,
                12 => options.keepalive_interval_ms = value,
                13 => options.tcp_user_timeout_ms = value,
                14 => options.keepalive_probes = value as u32,
                15 => options.overflow = value as i32,
                16 => options.use_heartbeat = value as u8,
                17 => options.embed_pmd = value as u8,
                18 => {
                    options.reserved[value as usize % 7] = 1;
                    wrong = true;
                }
                _ => {
                    options.struct_size = value as usize;
                    wrong = options.struct_size > size_of::<distflow_node_options>();
                }
            }
        }
        if !valid && !wrong {
            // Fails before it takes long.
            options.pmd_port = 0;
        }
        // As long as a size may be that is believed.
        let mut room = [0_u64; 512];
        let mut node = null_mut();
        // SAFETY: there is room for any size that is not refused at once, and texts are what
        // they should be.
        unsafe {
            let copy = room.as_mut_ptr().cast::<distflow_node_options>();
            copy.write(options);
            let status = distflow_node_open(copy, &mut node);
            check(Known::Live, status);
            assert_eq!(status == DISTFLOW_OK, !node.is_null());
            check(Known::Live, distflow_node_open(copy, null_mut()));
        }
        if !node.is_null() {
            self.keep(Kind::Node, node as usize);
        }
    }

    pub(super) fn open_pmd(&mut self, input: &mut Input<'_>) {
        if !self.may_be_slow(input) {
            return;
        }
        let mut options = pmd_options();
        options.port = 0;
        let host = Text::read(input);
        for _ in 0..input.byte() % 4 {
            let value = input.extreme();
            match input.byte() % 14 {
                // Beyond loopback it is refused before it is looked up.
                0 => options.host = host.pointer(),
                1 => options.auto_shutdown_ms = value,
                2 => options.heartbeat_ttl_ms = value,
                3 => options.heartbeat_expel_ms = value,
                4 => options.probe_ms = value,
                5 => options.frame_bytes_max = value,
                6 => options.frame_deadline_ms = value,
                7 => options.connections_max = value,
                8 => options.nodes_max = value,
                9 => options.nodes_per_connection_max = value,
                10 => options.watcher_queue_bytes_max = value,
                11 => options.keepalive_idle_ms = value,
                12 => options.keepalive_probes = value as u32,
                _ => options.reserved[value as usize % 9] = 1,
            }
        }
        let mut pmd = null_mut();
        // SAFETY: every pointer is valid.
        let status = unsafe { distflow_pmd_open(&options, &mut pmd) };
        check(Known::Live, status);
        assert_eq!(status == DISTFLOW_OK, !pmd.is_null());
        if !pmd.is_null() {
            let mut port = 0;
            // SAFETY: every pointer is valid.
            check(Known::Live, unsafe { distflow_pmd_port(pmd, &mut port) });
            self.keep(Kind::Pmd, pmd as usize);
            if input.byte() & 1 != 0 {
                self.connect(c"localhost".as_ptr(), port, 100);
            }
        }
    }

    pub(super) fn open_client(&mut self, input: &mut Input<'_>) {
        if self.may_be_slow(input) {
            self.connect(null(), self.pmd_port, LIMIT_MS);
            return;
        }
        // A name is not looked up when the port is none.
        let host = Text::read(input);
        self.connect(host.pointer(), 0, LIMIT_MS);
    }

    pub(super) fn connect(&mut self, host: *const c_char, port: u16, timeout_ms: i64) {
        let mut client = null_mut();
        // SAFETY: every pointer is valid.
        let status = unsafe { distflow_pmd_client_open(host, port, timeout_ms, &mut client) };
        check(Known::Live, status);
        assert_eq!(status == DISTFLOW_OK, !client.is_null());
        if !client.is_null() {
            self.keep(Kind::Client, client as usize);
        }
    }
}

pub(super) fn pmd_options() -> distflow_pmd_options {
    let mut options = MaybeUninit::uninit();
    // SAFETY: the function fills the struct.
    unsafe {
        let size = size_of::<distflow_pmd_options>();
        let status = distflow_pmd_options_init(options.as_mut_ptr(), size);
        assert_eq!(status, DISTFLOW_OK);
        options.assume_init()
    }
}
