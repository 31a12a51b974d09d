#version 330
// Positions arrive in the camera's frame: x right, y down, z away from the viewer.
in vec3 in_position;
in vec3 in_normal;
in vec3 in_template;
in float in_scalp;
uniform vec4 window;  // image plane: centre x, y, half side, unused
uniform mat4 to_light;
out vec3 position;
out vec3 normal;
out vec3 place;  // the same point on the template head: where procedural detail is anchored
out float scalp;
out vec4 light_place;

void main() {
    position = in_position;
    normal = in_normal;
    place = in_template;
    scalp = in_scalp;
    light_place = to_light * vec4(in_position, 1.0);
    float near = 0.05;
    float far = 3.0;
    vec2 plane = (in_position.xy - window.xy * in_position.z) / window.z;
    float depth = ((far + near) * in_position.z - 2.0 * far * near) / (far - near);
    gl_Position = vec4(plane.x, plane.y, depth, in_position.z);
}
