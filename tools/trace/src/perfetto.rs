//! A story as Perfetto's file.

use crate::message::{
    Data, DebugAnnotation, ProcessDescriptor, Trace, TracePacket, TrackDescriptor, TrackEvent,
};
use crate::story::{Event, Shape, Story};
use prost::Message;

/// The track of the machine, above those of the CPUs.
const MACHINE: u64 = 1;
/// Tracks below are in the order of their ranks.
const EXPLICIT: i32 = 3;
/// Nothing before this packet is needed to understand it.
const STATE_CLEARED: u32 = 1;

/// The bytes of the file.
pub fn file(story: &Story) -> Vec<u8> {
    let mut packet = vec![descriptor(
        0,
        TrackDescriptor {
            uuid: Some(MACHINE),
            name: Some("Reveille".to_owned()),
            process: Some(ProcessDescriptor { pid: Some(1), process_name: Some("Reveille".to_owned()) }),
            child_ordering: Some(EXPLICIT),
            ..TrackDescriptor::default()
        },
    )];
    for (index, cpu) in story.cpus.iter().enumerate() {
        let lost: u64 = cpu.lost.iter().sum();
        let name =
            if lost == 0 { format!("CPU {index}") } else { format!("CPU {index} ({lost} records lost)") };
        packet.push(descriptor(
            index,
            TrackDescriptor {
                uuid: Some(track(index)),
                name: Some(name),
                parent_uuid: Some(MACHINE),
                sibling_order_rank: Some(index as i32),
                ..TrackDescriptor::default()
            },
        ));
        packet.extend(cpu.events.iter().map(|event| of_event(index, event)));
    }
    Trace { packet }.encode_to_vec()
}

fn track(cpu: usize) -> u64 {
    MACHINE + 1 + cpu as u64
}

fn descriptor(cpu: usize, track: TrackDescriptor) -> TracePacket {
    TracePacket {
        timestamp: None,
        trusted_packet_sequence_id: Some(cpu as u32 + 1),
        sequence_flags: Some(STATE_CLEARED),
        data: Some(Data::TrackDescriptor(track)),
    }
}

fn of_event(cpu: usize, event: &Event) -> TracePacket {
    let ends = event.shape == Shape::End;
    let value =
        event.value.map(|value| DebugAnnotation { uint_value: Some(value), name: Some("value".to_owned()) });
    let category = if event.from_application { "application" } else { "runtime" };
    TracePacket {
        timestamp: Some(event.time),
        trusted_packet_sequence_id: Some(cpu as u32 + 1),
        sequence_flags: None,
        data: Some(Data::TrackEvent(TrackEvent {
            debug_annotations: value.into_iter().collect(),
            r#type: Some(match event.shape {
                Shape::Begin => 1,
                Shape::End => 2,
                Shape::Instant => 3,
            }),
            track_uuid: Some(track(cpu)),
            categories: if ends { Vec::new() } else { vec![category.to_owned()] },
            name: (!ends).then(|| event.name.clone()),
            // 0 is no arrow.
            flow_ids: event.arrows.iter().map(|arrow| *arrow as u64 + 1).collect(),
        })),
    }
}
